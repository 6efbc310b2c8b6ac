/** The archive writer against a reader of its own, field by field as the kernel reads them. */
import { describe, expect, test } from "vitest";
import { writeCpio } from "../../../guest/image/cpio.ts";

interface Member {
  readonly name: string;
  readonly mode: number;
  readonly device: string;
  readonly data: string;
}

function read(archive: Buffer): Member[] {
  const members: Member[] = [];
  let at = 0;
  const align = (value: number): number => Math.ceil(value / 4) * 4;
  while (at < archive.length) {
    const field = (index: number): number =>
      Number.parseInt(archive.toString("latin1", at + 6 + index * 8, at + 14 + index * 8), 16);
    expect(archive.toString("latin1", at, at + 6)).toBe("070701");
    const [nameSize, size] = [field(11), field(6)];
    const name = archive.toString("latin1", at + 110, at + 110 + nameSize - 1);
    const start = align(at + 110 + nameSize);
    members.push({
      name,
      mode: field(1),
      device: `${field(9)}:${field(10)}`,
      data: archive.toString("latin1", start, start + size),
    });
    at = align(start + size);
  }
  return members;
}

describe("a newc archive", () => {
  test("has each member with its type, mode and content, and ends with the trailer", () => {
    const archive = writeCpio([
      { type: "directory", path: "dev", mode: 0o755 },
      { type: "characterDevice", path: "dev/console", mode: 0o600, major: 5, minor: 1 },
      { type: "file", path: "init", mode: 0o755, data: Buffer.from("hello") },
      { type: "symlink", path: "sh", target: "/init" },
    ]);
    expect(read(archive)).toEqual([
      { name: "dev", mode: 0o040755, device: "0:0", data: "" },
      { name: "dev/console", mode: 0o020600, device: "5:1", data: "" },
      { name: "init", mode: 0o100755, device: "0:0", data: "hello" },
      { name: "sh", mode: 0o120777, device: "0:0", data: "/init" },
      { name: "TRAILER!!!", mode: 0, device: "0:0", data: "" },
    ]);
  });

  test.each([0, 1, 2, 3, 4, 5])("stays aligned after a file of %i bytes", (length) => {
    const data = Buffer.alloc(length, "x");
    const archive = writeCpio([
      { type: "file", path: "a", mode: 0o644, data },
      { type: "file", path: "bc", mode: 0o644, data },
    ]);
    expect(archive.length % 4).toBe(0);
    expect(read(archive).map((member) => member.data.length)).toEqual([length, length, 0]);
  });

  test("is the same for the same input", () => {
    const entries = [{ type: "file", path: "a", mode: 0o644, data: Buffer.from("a") }] as const;
    expect(writeCpio(entries).equals(writeCpio(entries))).toBe(true);
  });
});
