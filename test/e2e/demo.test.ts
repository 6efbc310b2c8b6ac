/** The demo with `--json`, as a user runs it: what it claims, it must have shown. */
import { chmod, chown } from "node:fs/promises";
import { release } from "node:os";
import { join } from "node:path";
import { build } from "esbuild";
import { describe, expect, it } from "vitest";
import type { DemoResult } from "../../lab/demo/report.ts";
import { runToEnd } from "../../lab/host/program.ts";
import { bundleOptions } from "../../setup/lib/dist.ts";
import { repoRoot } from "../../setup/lib/paths.ts";
import { built } from "../support/e2e/program.ts";
import { asNobody, installForEverybody, NOBODY } from "../support/e2e/run.ts";
import { temporaryDirectory } from "../support/temporary-directory.ts";

/** Runs a demo that prints JSON. Nothing else may be on its standard output. */
async function runDemo(
  words: readonly string[],
  env: Readonly<Record<string, string>>,
): Promise<{ code: number | null; result: DemoResult; stderr: string }> {
  const { code, stdout, stderr } = await runToEnd(words, { cwd: repoRoot(), env });
  expect(stdout, stderr).toMatch(/^\{.*\}\n$/);
  return { code, result: JSON.parse(stdout) as DemoResult, stderr };
}

describe.skipIf(process.getuid?.() !== 0 || built().containerd === null)("npm run demo", () => {
  it("shows a pod in a microVM from its start to its end, and leaves nothing", async () => {
    const directory = await temporaryDirectory();
    const words = ["npm", "run", "--silent", "demo", "--", "--json"];
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

/** The demo as one file, for a user who may not write to the checkout. Its argument is the product's bundle. */
async function bundleDemo(): Promise<string> {
  const directory = await temporaryDirectory();
  await chmod(directory, 0o755);
  const file = join(directory, "demo.mjs");
  const contents = [
    'import { demo } from "./lab/demo/demo.ts";',
    'process.exitCode = await demo({ program: process.argv[2] ?? "", json: true });',
  ].join("\n");
  await build({ ...bundleOptions(), stdin: { contents, resolveDir: repoRoot() }, outfile: file });
  return file;
}

describe.skipIf(process.getuid?.() !== 0)("the demo without root", () => {
  it("shows a run without containerd instead, and says why", async () => {
    const { program, cache } = await installForEverybody();
    const directory = await temporaryDirectory();
    await chown(directory, NOBODY, NOBODY);
    const words = [...asNobody(), process.execPath, await bundleDemo(), program];
    const env = { TMPDIR: directory, BLAZAR_CACHE: cache, HOME: "/nonexistent" };
    const { code, result, stderr } = await runDemo(words, env);
    expect(result, stderr).toMatchObject({ ok: true, mode: "standalone", leftovers: 0 });
    expect(result.guestKernel).toMatch(/^6\.1\./);
    expect(stderr).toContain("containerd needs root");
    expect(code).toBe(0);
  });
});
