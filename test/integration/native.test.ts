/**
 * The native runtime on the real kernel. Its test program is built as agent and keeper are, and runs as root; each of its
 * groups of tests must pass. After that come the scenes in which the process itself ends.
 */
import { type ExecFileException, execFile } from "node:child_process";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { buildRuntime } from "../../native/build.ts";
import { artifacts } from "../../setup/steps/artifacts.ts";

const GROUPS = [
  "arguments",
  "files",
  "mounts",
  "processes",
  "privileges",
  "sockets",
  "tty",
  "network",
  "time",
  "poll",
  "text",
  "loop",
  "writer",
  "resilience",
  "served",
];

interface Line {
  readonly group: string;
  readonly test: string;
  readonly ok: boolean;
  readonly error?: string;
}

interface Output {
  readonly status: number | string | null | undefined;
  readonly stdout: string;
  readonly stderr: string;
}

function run(file: string, args: readonly string[]): Promise<Output> {
  return new Promise((resolve) => {
    const options = { timeout: 90_000, maxBuffer: 16 << 20 };
    execFile(file, args, options, (error: ExecFileException | null, stdout, stderr) => {
      resolve({ status: error === null ? 0 : (error.code ?? error.signal), stdout, stderr });
    });
  });
}

describe.skipIf(process.getuid?.() !== 0)("the native runtime", () => {
  let directory = "";
  let program = "";
  let output: Output;
  let lines: Line[] = [];

  beforeAll(async () => {
    directory = await mkdtemp(path.join(tmpdir(), "blazar-native-"));
    program = path.join(directory, "native-test");
    const { quickjs } = artifacts();
    await buildRuntime({ name: "native-test", entry: "native/test/main.ts", output: program, quickjs });
    const scratch = await mkdtemp(path.join(directory, "scratch-"));
    output = await run(program, [scratch]);
    lines = output.stdout
      .split("\n")
      .filter((line) => line !== "")
      .map((line) => JSON.parse(line) as Line);
  });

  afterAll(async () => {
    await rm(directory, { recursive: true, force: true });
  });

  it("runs its test program to the end", () => {
    expect(output.status, output.stderr).toBe(0);
    expect([...new Set(lines.map((line) => line.group))].sort()).toEqual([...GROUPS].sort());
  });

  it.each(GROUPS)("passes the group %s", (group) => {
    const ofGroup = lines.filter((line) => line.group === group);
    expect(ofGroup.length).toBeGreaterThan(0);
    expect(ofGroup.filter((line) => !line.ok)).toEqual([]);
  });

  it("logs an unhandled rejection with its place, and none that is handled", () => {
    expect(output.stderr).toMatch(
      /unhandled rejection: Error: nobody handles this rejection\n\s+at .*native-test/,
    );
    expect(output.stderr).not.toContain("somebody handles");
  });

  it("ends with 70 and a trace when the top level throws", async () => {
    const { status, stderr } = await run(program, ["--throw"]);
    expect(status).toBe(70);
    expect(stderr).toMatch(/exception at top level: Error: thrown at top level\n\s+at .*native-test/);
    expect(stderr).not.toContain("unhandled rejection");
  });

  it("survives a main loop that throws again and again", async () => {
    const { status, stderr } = await run(program, ["--throw-in-tick"]);
    expect(status).toBe(0);
    expect(stderr).toContain("thrown in tick 1\n");
    expect(stderr).toContain("thrown in tick 12\n");
  });

  it("as PID 1 starts a crashed engine again, reaps orphans and powers off at the end", async () => {
    const started = Date.now();
    const unshare = ["--pid", "--fork", "--mount-proc", program, "--supervised"];
    const { status, stdout, stderr } = await run("unshare", unshare);
    expect(stdout.split("\n").filter((line) => line !== "")).toEqual([
      "engine 0 is pid 2, child of 1",
      expect.stringMatching(/^engine 1 is pid \d+, child of 1$/),
      expect.stringMatching(/^engine 2 is pid \d+, child of 1$/),
      "zombies: 0",
    ]);
    expect(stderr).toContain('"msg":"engine killed","pid":2,"signal":11');
    expect(stderr).toContain('"status":9');
    // the power-off of a PID namespace is SIGINT to its init, which unshare passes on
    expect([130, "SIGINT"]).toContain(status);
    expect(Date.now() - started).toBeLessThan(30_000);
  });

  it("allocates blocks that do not overlap, within its limit, and gives memory back", async () => {
    const { quickjs } = artifacts();
    const test = path.join(directory, "allocator-test");
    const sources = ["native/allocator.c", "native/test/allocator.c"];
    const includes = ["-isystem", quickjs.include, "-I", "native"];
    const compiled = await run("musl-gcc", [
      "-O2",
      "-D_GNU_SOURCE",
      "-static",
      ...includes,
      ...sources,
      "-o",
      test,
    ]);
    expect(compiled).toMatchObject({ status: 0 });
    expect(await run(test, [])).toEqual({ status: 0, stdout: "", stderr: "" });
    await rm(test);
  });

  it("leaves nothing behind in its directory but its files", async () => {
    expect((await readdir(directory)).length).toBe(2);
  });
});
