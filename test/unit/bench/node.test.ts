/** What the benchmark reads of the host: memory maps, process trees, the unit's options, the variants asked for. */
import { expect, test } from "vitest";
import { memoryOf, parseRollup, sharedLibraryBytes } from "../../../bench/node/memory.ts";
import { bootPathOf, parseHandlers, startVariants } from "../../../bench/node/variants.ts";
import { descendants } from "../../../lab/host/processes.ts";
import { settingsOfUnit } from "../../../lab/node/unit-runtime.ts";

const SMAPS = `00400000-01000000 r-xp 00000000 fe:00 10 /tmp/bench/node
Rss:               20000 kB
Pss:               20000 kB
7f0000000000-7f0000200000 r-xp 00000000 fe:00 11 /lib/x86_64-linux-gnu/libstdc++.so.6.0.30
Rss:                1200 kB
Pss:                 400 kB
7f0000300000-7f0000400000 r-xp 00000000 fe:00 12 /lib/x86_64-linux-gnu/libc.so.6
Rss:                1000 kB
Pss:                 100 kB
`;

test("memory is read from smaps_rollup, in bytes", () => {
  expect(
    parseRollup("00-ff ---p 0 00:00 0 [rollup]\nRss: 9 kB\nPss:   5 kB\nPss_Anon: 3 kB\nAnonymous:   4 kB\n"),
  ).toEqual({
    pss: 5120,
    anonymous: 4096,
  });
});

test("libraries that only Node has are counted in full, the C library is not", () => {
  expect(sharedLibraryBytes(SMAPS)).toBe(800 * 1024);
});

test("a living process has memory, a dead one none", async () => {
  const own = await memoryOf(process.pid);
  expect(own?.pss).toBeGreaterThan(2 ** 20);
  expect(own?.anonymous).toBeGreaterThan(2 ** 20);
  expect(await memoryOf(2 ** 22 + 1)).toBeNull();
});

test("descendants are found at any depth, without their roots", () => {
  const tree = [
    { pid: 1, parent: 0, command: "init", output: "" },
    { pid: 2, parent: 1, command: "keeper", output: "" },
    { pid: 3, parent: 2, command: "qemu", output: "" },
    { pid: 4, parent: 3, command: "helper", output: "" },
    { pid: 5, parent: 1, command: "other", output: "" },
  ];
  expect(descendants(tree, [2]).map(({ pid }) => pid)).toEqual([3, 4]);
});

test("blazard runs with the options and the environment of its unit", () => {
  const unit = [
    "[Service]",
    "Environment=A=1 B=x=y",
    "ExecStart=/usr/bin/node --max-semi-space-size=1 --foo /usr/lib/blazar.mjs serve --config /etc/blazar.toml",
    "Environment=C=3",
  ].join("\n");
  expect(settingsOfUnit(unit)).toEqual({
    args: ["--max-semi-space-size=1", "--foo"],
    env: { A: "1", B: "x=y", C: "3" },
  });
});

test("blazar is measured by path, other handlers as they are", () => {
  expect(startVariants(["blazar", "runc"]).map(({ name }) => name)).toEqual([
    "pool",
    "clone",
    "cold",
    "runc",
  ]);
  expect(startVariants(["blazar"])[1]).toMatchObject({
    handler: "blazar",
    annotations: { "io.blazar.boot": "clone" },
    boot: "clone",
  });
});

test("a daemon that does not say how a pod came about has booted it", () => {
  expect(bootPathOf({})).toBe("cold");
  expect(bootPathOf({ boot: "pool" })).toBe("pool");
});

test("handlers are split at commas; an empty or doubled name is refused", () => {
  expect(parseHandlers("blazar, runc")).toEqual(["blazar", "runc"]);
  expect(() => parseHandlers("runc,")).toThrow("empty");
  expect(() => parseHandlers("runc,runc")).toThrow("twice");
});
