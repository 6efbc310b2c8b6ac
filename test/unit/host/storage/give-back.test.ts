import { expect, test } from "vitest";
import { textMappings } from "../../../../src/workers/give-back.ts";

const MAPS = `00400000-00b6f000 r--p 00000000 fe:00 1234                               /usr/bin/node
00b72000-025fe000 r-xp 00772000 fe:00 1234                               /usr/bin/node
0563e000-0565d000 rw-p 0523d000 fe:00 1234                               /usr/bin/node
0565d000-056ae000 rw-p 00000000 00:00 0
07a4a000-07fd2000 rw-p 00000000 00:00 0                                  [heap]
7fe2708c0000-7fe270a52000 r-xp 00000000 00:00 0
7fe2730c5000-7fe2730c6000 ---p 00021000 fe:00 99                         /usr/lib/a library.so
7ffd0a5d4000-7ffd0a5d6000 r-xp 00000000 00:00 0                          [vdso]
`;

test("program text is what is mapped from files and cannot be written to", () => {
  expect(textMappings(MAPS)).toEqual([
    { start: 0x400000, length: 0x76f000 },
    { start: 0xb72000, length: 0x1a8c000 },
  ]);
});
