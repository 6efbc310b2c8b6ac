/** `blazar demo --json` as a user runs it: what it claims, it must have shown. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { chown } from "node:fs/promises";
import { release } from "node:os";
import { describe, expect, it } from "vitest";
import type { DemoResult } from "../../lab/demo/report.ts";
import { blazarProgram, built } from "../support/e2e/program.ts";
import { asNobody, installForEverybody, NOBODY } from "../support/e2e/run.ts";
import { temporaryDirectory } from "../support/temporary-directory.ts";

/** Runs the demo with `--json`; returns its last line as what it is. */
async function runDemo(
  words: readonly string[],
  env: Readonly<Record<string, string>>,
): Promise<{ code: number; result: DemoResult; stderr: string }> {
  const [program = "", ...args] = [...words, "demo", "--json"];
  const child = spawn(program, args, { env: { ...process.env, ...env } });
  let stdout = "";
  let stderr = "";
  child.stdout.setEncoding("utf8").on("data", (part: string) => {
    stdout += part;
  });
  child.stderr.setEncoding("utf8").on("data", (part: string) => {
    stderr += part;
  });
  const [code] = await once(child, "close");
  const last = stdout.trim().split("\n").at(-1) ?? "";
  if (!last.startsWith("{")) throw new Error(`no JSON at the end: ${stdout}${stderr}`);
  return { code: Number(code), result: JSON.parse(last) as DemoResult, stderr };
}

describe.skipIf(process.getuid?.() !== 0 || built().containerd === null)("blazar demo", () => {
  it("shows a pod in a microVM from its start to its end, and leaves nothing", async () => {
    const directory = await temporaryDirectory();
    const words = [process.execPath, blazarProgram()];
    const { code, result, stderr } = await runDemo(words, { TMPDIR: directory });
    expect(result, stderr).toMatchObject({
      ok: true,
      mode: "containerd",
      hostKernel: release(),
      leftovers: 0,
    });
    expect(result.guestKernel).toMatch(/^6\.1\./);
    for (const figure of [result.podStartMs, result.containerStartMs, result.execMs])
      expect(figure).toBeGreaterThan(0);
    expect(result.steps.map(({ step }) => step)).toEqual(
      expect.arrayContaining(["RunPodSandbox", "StartContainer", "ExecSync", "RemovePodSandbox"]),
    );
    expect(code).toBe(0);
  });
});

describe.skipIf(process.getuid?.() !== 0)("blazar demo without root", () => {
  it("shows a run without containerd instead, and says why", async () => {
    const { program, cache } = await installForEverybody();
    const directory = await temporaryDirectory();
    await chown(directory, NOBODY, NOBODY);
    const words = [...asNobody(), process.execPath, program];
    const env = { TMPDIR: directory, BLAZAR_CACHE: cache, HOME: "/nonexistent" };
    const { code, result, stderr } = await runDemo(words, env);
    expect(result, stderr).toMatchObject({ ok: true, mode: "standalone", leftovers: 0 });
    expect(result.guestKernel).toMatch(/^6\.1\./);
    expect(stderr).toContain("containerd needs root");
    expect(code).toBe(0);
  });
});
