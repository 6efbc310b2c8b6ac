/** Promises of set-up that need what it built: run it first (`npm test` does). */
import { spawn } from "node:child_process";
import { mkdtemp, open, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { expect, test } from "vitest";
import { run } from "../../setup/lib/command.ts";
import { repoRoot } from "../../setup/lib/paths.ts";
import { artifacts } from "../../setup/steps/artifacts.ts";
import { readExtents } from "../../setup/steps/empty-ext4.ts";

function outcome(
  command: string,
  args: readonly string[],
): Promise<{ status: number | null; stderr: string }> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd: repoRoot(), stdio: ["ignore", "ignore", "pipe"] });
    let stderr = "";
    child.stderr.on("data", (chunk: Buffer) => {
      stderr += chunk.toString();
    });
    child.on("error", reject).on("close", (status) => resolve({ status, stderr }));
  });
}

test("a second set-up does nothing, says one line and is done within five seconds", async () => {
  const before = await readFile(path.join(artifacts().cache, "current.json"), "utf8");
  const started = performance.now();
  const { status, stderr } = await outcome(process.execPath, ["setup/run.mjs", "setup/setup.ts"]);
  expect(stderr).toMatch(/^✓ set-up is complete \([\d.]+ s\)\n$/);
  expect(status).toBe(0);
  expect(performance.now() - started).toBeLessThan(5000);
  expect(await readFile(path.join(artifacts().cache, "current.json"), "utf8")).toBe(before);
});

test("the empty layer's extents are all of it: a file system rebuilt from them is clean", async () => {
  const directory = await mkdtemp(path.join(tmpdir(), "blazar-layer-"));
  try {
    const { image, extents: list } = artifacts().emptyExt4;
    const { size, extents } = await readExtents(list);
    const copy = path.join(directory, "layer.ext4");
    const source = await open(image, "r");
    const target = await open(copy, "w");
    await target.truncate(size);
    for (const [offset, length] of extents) {
      const { buffer } = await source.read(Buffer.alloc(length), 0, length, offset);
      await target.write(buffer, 0, length, offset);
    }
    await Promise.all([source.close(), target.close()]);
    await run("/usr/sbin/e2fsck", ["-fn", copy]);
    await run("cmp", ["--bytes=400M", image, copy]);
    expect(extents.reduce((sum, [, length]) => sum + length, 0)).toBeLessThan(300 * 1024);
  } finally {
    await rm(directory, { recursive: true });
  }
});

test("the agent refuses to run where there is no guest, before it mounts anything", async () => {
  // with mounts of its own, and for a while only, in case that it does not
  const { status, stderr } = await outcome("unshare", ["--mount", "timeout", "5", artifacts().agent]);
  expect(stderr).toContain("not the initramfs of a guest");
  expect(status).not.toBe(0);
  expect(status).not.toBe(124);
});
