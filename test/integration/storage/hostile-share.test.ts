import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync } from "node:fs";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { artifacts } from "../../../setup/steps/artifacts.ts";
import { HostRootfsStore } from "../../../src/host/storage/rootfs-store.ts";
import { WorkerPool } from "../../../src/host/storage/worker-pool.ts";
import type { RootfsTasks } from "../../../src/workers/rootfs.worker.ts";
import { makeEmptyImage } from "../../support/empty-image.ts";
import { buildHostileInitramfs, makeHostileShare, runHostileGuest } from "../../support/hostile-guest/run.ts";
import { shareOf } from "../../support/share-of.ts";
import { bundleWorker, type WorkerBundle } from "../../support/worker-bundle.ts";

const isRoot = process.getuid?.() === 0;

describe.skipIf(!isRoot)("a guest that drives the share's device itself", () => {
  let base: string;
  let bundle: WorkerBundle;
  let pool: WorkerPool<RootfsTasks>;

  beforeEach(async () => {
    base = await mkdtemp(path.join(tmpdir(), "blazar-hostile-"));
    bundle = await bundleWorker("rootfs");
    pool = new WorkerPool<RootfsTasks>({ file: bundle.file });
  });
  afterEach(async () => {
    await pool.close();
    await bundle.remove();
    await rm(base, { recursive: true });
  });

  test("can neither leave it nor change it, and opens no device of the host", async () => {
    const { layer, share } = await makeHostileShare(base);
    const store = new HostRootfsStore({ workers: pool, empty: await makeEmptyImage(base) });
    const plan = await store.plan({
      containerId: "c1",
      mounts: [{ type: "bind", source: layer, target: "", options: ["rbind", "rw"] }],
      shareDirectory: share,
      scratchDirectory: base,
      owner: undefined,
    });
    await store.apply(plan);
    try {
      const before = listing(share);
      const directory = path.join(base, "vm");
      mkdirSync(directory);
      const initramfs = await buildHostileInitramfs(base);
      const attacks = await runHostileGuest({ directory, share, vmlinux: artifacts().vmlinux, initramfs });
      expect(attacks.length).toBeGreaterThan(35);
      expect(attacks.filter(({ ok }) => !ok)).toEqual([]);
      expect(listing(share)).toBe(before);
      expect(await readFile(path.join(base, "canary"), "utf8")).toBe("CANARY\n");
    } finally {
      await store.release(plan);
    }
    expect(existsSync(shareOf(plan).directory)).toBe(false);
  });
});

/** Names, modes, owners, sizes and times of all there is. */
function listing(directory: string): string {
  return execFileSync("find", [directory, "-printf", "%P %M %U:%G %s %T@ %l\n"], { encoding: "utf8" });
}
