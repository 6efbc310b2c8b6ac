/** The store of images on a real disk: layers, mkfs.erofs in its jail, and the kernel that reads what came out. */
import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import {
  mkdir,
  mkdtemp,
  open,
  readdir,
  readFile,
  rm,
  stat,
  statfs,
  symlink,
  truncate,
  writeFile,
} from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { cachedBytes } from "../../../bench/node/page-cache.ts";
import { artifacts } from "../../../setup/steps/artifacts.ts";
import { silentLogger } from "../../../src/contracts/logger.ts";
import { type ImageStoreOptions, LocalImageStore } from "../../../src/host/storage/images/image-store.ts";
import { WorkerPool } from "../../../src/host/storage/worker-pool.ts";
import type { ImageTasks } from "../../../src/workers/image.worker.ts";
import { checkTree } from "../../../src/workers/images/erofs-tree.ts";
import { RealKeeper } from "../../support/bench/keeper.ts";
import { describeImages } from "../../support/conformance/images.ts";
import { buildLayers, listTree, makeLayers } from "../../support/layers/layers.ts";
import { bundleWorker, type WorkerBundle } from "../../support/worker-bundle.ts";

const run = promisify(execFile);
const USER = { uid: 61_234, gid: 61_234 };
const MEGABYTE = 2 ** 20;
const GIGABYTE = 2 ** 30;
const isRoot = process.getuid?.() === 0;

describe.runIf(isRoot)("the store of images", () => {
  let keeper: RealKeeper;
  let worker: WorkerBundle;
  let workers: WorkerPool<ImageTasks>;
  let scratch: string;
  beforeAll(async () => {
    keeper = await RealKeeper.start();
    worker = await bundleWorker("image");
    workers = new WorkerPool<ImageTasks>({ file: worker.file, maxThreads: 1 });
    scratch = await mkdtemp(path.join(tmpdir(), "blazar-images-"));
  });
  afterAll(async () => {
    await workers.close();
    await worker.remove();
    await keeper.dispose();
    await rm(scratch, { recursive: true, force: true });
  });

  function openStore(directory: string, changed: Partial<ImageStoreOptions> = {}): LocalImageStore {
    const { erofsUtils } = artifacts();
    return new LocalImageStore({
      keeper: keeper.keeper,
      workers,
      mkfs: erofsUtils === null ? undefined : { command: erofsUtils.mkfs, needs: [erofsUtils.directory] },
      user: USER,
      directory,
      stateDirectory: scratch,
      diskLimitBytes: GIGABYTE,
      inlineLimitMs: 30_000,
      enabled: true,
      logger: silentLogger,
      ...changed,
    });
  }

  describeImages("is a store like any other", async () => {
    const directory = await mkdtemp(path.join(scratch, "suite-"));
    const images = path.join(directory, "images");
    const store = openStore(images);
    return {
      store,
      directory,
      other: (state) => openStore(images, state === "own" ? { stateDirectory: directory } : {}),
      sizeOf: async ({ path: file }) => (await stat(file)).size,
      dispose: () => store.close(),
    };
  });

  it("shows in an image what an overlay of its layers shows", { timeout: 120_000 }, async () => {
    const program = await buildLayers(scratch);
    const lower = await makeLayers(program, path.join(scratch, "stack"), 20_000);
    const image = await openStore(path.join(scratch, "shows")).prepare(lower);
    const [view, disk] = [path.join(scratch, "view"), path.join(scratch, "disk")];
    await Promise.all([view, disk].map((each) => mkdir(each)));
    await run("mount", ["-t", "overlay", "-o", `ro,lowerdir=${lower.join(":")}`, "overlay", view]);
    await run("mount", ["-t", "erofs", "-o", "ro,loop", image.path, disk]);
    try {
      const [wanted, found] = [await listTree(program, view), await listTree(program, disk)];
      expect(wanted.length).toBeGreaterThan(20_070);
      expect(found.filter((line, at) => line !== wanted[at])).toEqual([]);
      expect(found).toHaveLength(wanted.length);
      // a sparse file of 64 MB takes no space
      expect(image.bytes).toBeLessThan(8 * 2 ** 20);
    } finally {
      await run("umount", [view]);
      await run("umount", [disk]);
    }
  });

  it("does not let a start wait for an image that is not small, and has it for the next", async () => {
    const lower = [await bytes(path.join(scratch, "big"), 40 * 2 ** 20)];
    const store = openStore(path.join(scratch, "behind"));
    const began = performance.now();
    expect(await store.use(lower, "c1")).toBeUndefined();
    expect(performance.now() - began).toBeLessThan(10_000);
    const made = await store.prepare(lower);
    expect(made.holders).toEqual([]);
    expect((await store.use(lower, "c2"))?.image.key).toBe(made.key);
    await store.close();
  });

  it("tells a trouble once, and tries again only later", async () => {
    const told: string[] = [];
    const logger = { ...silentLogger, warn: (_: unknown, text?: string) => void told.push(text ?? "") };
    const store = openStore(path.join(scratch, "told"), { mkfs: undefined, logger });
    const lower = [await bytes(path.join(scratch, "tried"), 10)];
    for (const holder of ["c1", "c2", "c3"]) expect(await store.use(lower, holder)).toBeUndefined();
    expect(told).toEqual(["no image of these layers: they are served by the share"]);
  });

  it("says that the disk is full, and leaves it as it was", async () => {
    const directory = path.join(scratch, "full");
    await mkdir(directory);
    await run("mount", ["-t", "tmpfs", "-o", "size=1m,mode=700", "tmpfs", directory]);
    try {
      const made = openStore(directory).prepare([await bytes(path.join(scratch, "too-much"), 3_000_000)]);
      await expect(made).rejects.toMatchObject({ code: "ResourceExhausted" });
      expect(await readdir(directory)).toEqual([".lock"]);
    } finally {
      await run("umount", [directory]);
    }
  });

  it("publishes no image that a full disk had no room for, although mkfs.erofs says that it is done", async () => {
    const [disk, directory] = [path.join(scratch, "small.ext4"), path.join(scratch, "small")];
    const layer = path.join(scratch, "random");
    await Promise.all([directory, layer].map((each) => mkdir(each)));
    for (const name of ["a", "b"]) await writeFile(path.join(layer, name), randomBytes(10 * MEGABYTE));
    await writeFile(disk, "");
    await truncate(disk, 24 * MEGABYTE);
    await run("mkfs.ext4", ["-q", "-F", disk]);
    await run("mount", ["-o", "loop", disk, directory]);
    try {
      // at some of these sizes there is room for metadata, which is written last
      for (const spare of [0, 1, 2, 3]) {
        const { bavail, bsize } = await statfs(directory);
        await run("fallocate", [
          "-l",
          `${bavail * bsize - (8 + 3 * spare) * MEGABYTE}`,
          path.join(directory, "filler"),
        ]);
        const made = openStore(path.join(directory, "images")).prepare([layer]);
        await expect(made).rejects.toMatchObject({ code: "ResourceExhausted" });
        await rm(path.join(directory, "filler"));
      }
      expect(await readdir(path.join(directory, "images"))).toEqual([".lock"]);
    } finally {
      await run("umount", [directory]);
    }
  });

  it("keeps one copy of an image's files in the host's memory, and none of its layers'", async () => {
    const [disk, directory] = [path.join(scratch, "cached.ext4"), path.join(scratch, "cached")];
    await mkdir(directory);
    await writeFile(disk, "");
    await truncate(disk, 64 * MEGABYTE);
    await run("mkfs.ext4", ["-q", "-F", disk]);
    await run("mount", ["-o", "loop", disk, directory]);
    try {
      const layer = path.join(directory, "layer");
      await mkdir(path.join(layer, "below"), { recursive: true });
      const file = path.join(layer, "below", "file");
      await writeFile(file, randomBytes(10 * MEGABYTE));
      expect(await cachedBytes([file])).toEqual([10 * MEGABYTE]);
      const store = openStore(path.join(directory, "images"));
      const image = await store.prepare([layer]);
      await store.close();
      const [ofLayer, ofImage] = await cachedBytes([file, image.path]);
      expect(ofLayer).toBe(0);
      expect(ofImage).toBeGreaterThanOrEqual(10 * MEGABYTE);
      expect(ofImage).toBeLessThan(11 * MEGABYTE);
    } finally {
      await run("umount", [directory]);
    }
  });

  it("finds an inode or a directory's names that are missing in an image", async () => {
    const layer = path.join(scratch, "tree");
    await mkdir(path.join(layer, "directory"), { recursive: true });
    await writeFile(path.join(layer, "directory", "file"), "x");
    const { path: made } = await openStore(path.join(scratch, "trees")).prepare([layer]);
    const image = await readFile(await copyOfHead(made, path.join(scratch, "head"), 8192));
    const check = async (bytes: Buffer) => {
      await writeFile(path.join(scratch, "head"), bytes);
      const file = await open(path.join(scratch, "head"));
      try {
        checkTree(file.fd, 4096);
      } finally {
        await file.close();
      }
    };
    await check(image);
    const inodes = [...inodesOf(image)];
    expect(inodes).toHaveLength(3);
    for (const { at, bytes } of inodes) {
      const damaged = Buffer.from(image);
      damaged.fill(0, at, at + bytes);
      await expect(check(damaged)).rejects.toThrow(/missing/);
    }
  });

  it("refuses layers with a larger file than its limit before it writes anything, also a sparse one", async () => {
    const lower = [await bytes(path.join(scratch, "sparse"), 10)];
    await truncate(path.join(scratch, "sparse", "file"), 60 * GIGABYTE);
    const made = openStore(path.join(scratch, "no-zeros")).prepare(lower);
    await expect(made).rejects.toMatchObject({ code: "ResourceExhausted" });
  });

  it("drops the least recently used image, and none that is held", async () => {
    const lower = await Promise.all(
      ["a", "b", "c"].map((name) => bytes(path.join(scratch, "drop", name), 100_000)),
    );
    const [a, b, c] = lower.map((each) => [each]) as [string[], string[], string[]];
    const clock = { now: Date.now() };
    const store = openStore(path.join(scratch, "dropped"), {
      diskLimitBytes: 260_000,
      now: () => (clock.now += 1000),
    });
    await store.use(a, "c1");
    const dropped = await store.prepare(b);
    const last = await store.prepare(c);
    const keys = (await store.list()).map(({ key }) => key);
    expect(keys).toContain(last.key);
    expect(keys).not.toContain(dropped.key);
    expect(keys).toHaveLength(2);
  });

  it("refuses an image larger than its limit, and leaves nothing of it", async () => {
    const lower = [await bytes(path.join(scratch, "large"), 3_000_000)];
    const directory = path.join(scratch, "limited");
    const store = openStore(directory, { diskLimitBytes: 1_000_000 });
    await expect(store.prepare(lower)).rejects.toMatchObject({ code: "ResourceExhausted" });
    expect(await readdir(directory)).toEqual([".lock"]);
    expect(await readFile("/proc/self/mountinfo", "utf8")).not.toContain(directory);
  });

  it("sweeps away what a crash has left, mounts included", async () => {
    const directory = path.join(scratch, "crashed");
    const half = path.join(directory, ".new-abcdef");
    const layer = await bytes(path.join(scratch, "survivor"), 10);
    await mkdir(path.join(half, "view"), { recursive: true });
    await run("mount", ["--bind", layer, path.join(half, "view")]);
    await openStore(directory).prepare([layer]);
    expect((await readdir(directory)).filter((name) => name.startsWith(".new"))).toEqual([]);
    expect(await readdir(layer)).toEqual(["file"]);
  });

  it("finds an image that was damaged", async () => {
    const store = openStore(path.join(scratch, "damaged"));
    const image = await store.prepare([await bytes(path.join(scratch, "whole"), 50_000)]);
    await store.verify(image.key);
    const file = await open(image.path, "r+");
    await file.write(Buffer.from("x"), 0, 1, 2 ** 32);
    await file.close();
    await expect(store.verify(image.key)).rejects.toMatchObject({ code: "ImageBroken" });
  });

  it("ends a build that nobody waits for, and its mkfs.erofs with it", async () => {
    const directory = path.join(scratch, "ended");
    const store = openStore(directory);
    const given = new AbortController();
    const made = store.prepare([await bytes(path.join(scratch, "waited"), 1000)], given.signal);
    given.abort();
    await expect(made).rejects.toMatchObject({ code: "Cancelled" });
    await store.close();
    expect((await readdir(directory).catch(() => [])).filter((name) => name !== ".lock")).toEqual([]);
    expect(keeper.keeper.inventory().processes).toEqual([]);
  });

  it("keeps a lease across daemons of one boot, and none from an earlier one", async () => {
    const directory = path.join(scratch, "boots");
    const lower = [await bytes(path.join(scratch, "booted"), 10)];
    const lease = await openStore(directory).use(lower, "c1");
    const image = lease?.image;
    if (image === undefined) throw new Error("no image");
    expect((await openStore(directory).list())[0]?.holders).toEqual(["c1"]);
    await writeFile(path.join(directory, image.key, "held.c1"), "00000000-0000-0000-0000-000000000000");
    expect((await openStore(directory).list())[0]?.holders).toEqual([]);
    await openStore(directory).remove(image.key);
    await expect(stat(image.path)).rejects.toMatchObject({ code: "ENOENT" });
  });

  it("takes for a lease only a mark that says in which boot it was taken", async () => {
    const directory = path.join(scratch, "marks");
    const store = openStore(directory);
    const image = await store.prepare([await bytes(path.join(scratch, "marked"), 10)]);
    const mark = (name: string) => path.join(directory, image.key, `held.${name}`);
    // a daemon of an earlier version that died between open(2) and write(2) has left an empty one
    await writeFile(mark("empty"), "");
    await writeFile(mark("long"), Buffer.alloc(10 ** 6, "x"));
    await symlink("/dev/zero", mark("endless"));
    await mkdir(mark("directory"));
    await run("mkfifo", [mark("fifo")]);
    expect((await store.list())[0]?.holders).toEqual([]);
    await store.remove(image.key);
    expect(await readdir(directory)).toEqual([".lock"]);
  });

  it("names a broken image as what it is, and removes it", async () => {
    const directory = path.join(scratch, "broken");
    const store = openStore(directory);
    const image = await store.prepare([await bytes(path.join(scratch, "to-break"), 10)]);
    await writeFile(path.join(directory, image.key, "image.json"), "{}");
    expect(await store.list()).toEqual([]);
    expect(await store.keys()).toEqual([image.key]);
    const broken = { code: "ImageBroken", message: expect.stringContaining("version: ") };
    await expect(store.verify(image.key)).rejects.toMatchObject(broken);
    await store.remove(image.key);
    expect(await store.keys()).toEqual([]);
  });
});

/** The first bytes of a file, in another one. */
async function copyOfHead(from: string, to: string, length: number): Promise<string> {
  const file = await open(from);
  const { buffer } = await file.read({ buffer: Buffer.alloc(length), position: 0 });
  await file.close();
  await writeFile(to, buffer);
  return to;
}

/** Where the inodes of a small image are, found by what only they have: the type and the permissions of their file. */
function* inodesOf(image: Buffer): Generator<{ readonly at: number; readonly bytes: number }> {
  for (let at = 1152; at < 4096; at += 32) {
    const extended = (image.readUInt16LE(at) & 1) === 1;
    if ([0o040755, 0o100644].includes(image.readUInt16LE(at + 4))) yield { at, bytes: extended ? 64 : 32 };
  }
}

async function bytes(directory: string, count: number): Promise<string> {
  await mkdir(directory, { recursive: true });
  await writeFile(path.join(directory, "file"), Buffer.alloc(count, "data"));
  return directory;
}
