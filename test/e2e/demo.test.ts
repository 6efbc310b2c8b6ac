/** `blazar demo --json` as a user runs it: what it claims, it must have shown. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { release } from "node:os";
import { describe, expect, it } from "vitest";
import type { DemoResult } from "../../src/cli/demo/report.ts";
import { blazarProgram, built } from "../support/e2e/program.ts";
import { temporaryDirectory } from "../support/temporary-directory.ts";

describe.skipIf(process.getuid?.() !== 0 || built().containerd === null)("blazar demo", () => {
  it("shows a pod in a microVM from its start to its end, and leaves nothing", async () => {
    const directory = await temporaryDirectory();
    const env = { ...process.env, TMPDIR: directory };
    const child = spawn(process.execPath, [blazarProgram(), "demo", "--json"], { env });
    let stdout = "";
    let stderr = "";
    child.stdout.setEncoding("utf8").on("data", (part: string) => {
      stdout += part;
    });
    child.stderr.setEncoding("utf8").on("data", (part: string) => {
      stderr += part;
    });
    const [code] = await once(child, "close");
    const result = JSON.parse(stdout.trim().split("\n").at(-1) ?? "") as DemoResult;
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
