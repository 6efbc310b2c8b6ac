/** What `files` makes of a container's answers and of its samples. */
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { expect, test } from "vitest";
import { computingRatio, fileWork, overComputing } from "../../../bench/files/figures.ts";
import { readImageFiles, readTime, timed, WORK } from "../../../bench/files/work.ts";
import { filesPart, filesTables } from "../../../bench/output/files-output.ts";
import type { FileSample, FilesResults } from "../../../bench/output/results.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";

function samples(variant: string, work: string, times: readonly number[], computingMs: number): FileSample[] {
  return times.map((ms, index) => ({
    variant,
    round: index + 1,
    work,
    phase: index % 2 === 0 ? "first" : "again",
    ms,
    computingMs,
    callMs: ms + 5,
  }));
}

const FILES: FilesResults = {
  image: { name: "an-image", names: 3 },
  work: [
    { name: "find", what: "all names" },
    { name: "fsync", what: "never measured" },
  ],
  samples: [...samples("share", "find", [900, 300], 60), ...samples("runc", "find", [10, 10], 6)],
};

test("a ratio over computing leaves out by how much the guest computes slower", () => {
  expect(computingRatio(FILES, "share", 1)?.ratio).toBe(10);
  expect(overComputing(FILES, "share", { work: "find", phase: "first" }, 1)?.ratio).toBeCloseTo(9);
  expect(overComputing(FILES, "share", { work: "find", phase: "again" }, 1)?.ratio).toBeCloseTo(3);
  expect(overComputing(FILES, "images", { work: "find", phase: "again" }, 1)).toBeNull();
});

test("what was not measured is left out, and a budget of it is neither met nor missed", () => {
  expect(fileWork(FILES).map(({ work, phase }) => `${work} ${phase}`)).toEqual(["find first", "find again"]);
  const { ratios, budgets } = filesPart(FILES, 1) as {
    ratios: Record<string, unknown>;
    budgets: Record<string, { work: string; phase: string; met: boolean | null }[]>;
  };
  expect(ratios["share"]).toEqual({ find: { first: 9, again: 3 } });
  const met = (work: string, phase: string) =>
    budgets["share"]?.find((each) => each.work === work && each.phase === phase)?.met;
  expect([met("find", "first"), met("find", "again"), met("Python start", "again")]).toEqual([
    false,
    true,
    null,
  ]);
  const [, , table] = filesTables(FILES, 1);
  expect(table?.rows.map((row) => row.at(-1))).toContain("9.00: missed");
});

test.each(["bash", "sh"])("a time is the shell's own, by %s", async (shell) => {
  const errors = join(await temporaryDirectory(), "errors");
  const printed = execFileSync(shell, ["-c", timed("sleep 0.2", errors)], { encoding: "utf8" });
  expect(readTime(printed)).toBeGreaterThan(150);
  expect(readTime(printed)).toBeLessThan(5_000);
});

test("work that fails has no time", async () => {
  const errors = join(await temporaryDirectory(), "errors");
  const printed = execFileSync("sh", ["-c", timed("exit 0; false", errors)], { encoding: "utf8" });
  expect(readTime(printed)).toBeUndefined();
  expect(readTime(execFileSync("sh", ["-c", timed("false", errors)], { encoding: "utf8" }))).toBeUndefined();
});

test("files of the image are chosen by plain names, the largest as the big one", () => {
  const small = Array.from({ length: 2_100 }, (_, index) => `/usr/f${index}`);
  const printed = [...small, "/with space", "/quote'd", "big 900 /b", "big 5000 /usr/lib/a", ""].join("\n");
  const files = readImageFiles(printed, (paths) => paths);
  expect(files?.big).toBe("/usr/lib/a");
  expect(files?.small).toHaveLength(2_000);
  expect(files?.small.every((path) => path.startsWith("/usr/f"))).toBe(true);
  expect(readImageFiles("/one\nbig 5000 /a\n", (paths) => paths)).toBeUndefined();
});

test("a list of files goes into the container in commands that are short enough for a call", () => {
  const files = {
    small: Array.from({ length: 2_000 }, (_, index) => `/${"x".repeat(200)}${index}`),
    big: "/b",
  };
  const commands = WORK.flatMap((work) => work.prepare?.(files) ?? []);
  expect(commands.length).toBeGreaterThan(14);
  expect(Math.max(...commands.map((command) => command.length))).toBeLessThan(64 * 1024);
});
