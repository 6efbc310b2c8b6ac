import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { mkdtemp, open, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { BlazarError } from "../../../src/contracts/errors.ts";
import type { RootfsPlan, RootfsRequest } from "../../../src/contracts/storage.ts";
import type { RootfsMount } from "../../../src/contracts/task.ts";
import { LocalHostFiles } from "../../../src/host/storage/host-files.ts";
import { removeTree } from "../../../src/host/storage/remove-tree.ts";
import { HostRootfsStore } from "../../../src/host/storage/rootfs-store.ts";
import { WorkerPool } from "../../../src/host/storage/worker-pool.ts";
import type { RootfsTasks } from "../../../src/workers/rootfs.worker.ts";
import { EMPTY_IMAGE_EXTENTS, EMPTY_IMAGE_SIZE, makeEmptyImage } from "../../support/empty-image.ts";
import { shareOf } from "../../support/share-of.ts";
import { bundleWorker, type WorkerBundle } from "../../support/worker-bundle.ts";

const isRoot = process.getuid?.() === 0;
const OWNER = { uid: 4711, gid: 4712 };

let bundle: WorkerBundle;
let pool: WorkerPool<RootfsTasks>;
let files: LocalHostFiles;
let base: string;
let share: string;
let scratch: string;
let store: HostRootfsStore;

describe.skipIf(!isRoot)("root filesystems on a real kernel", () => {
  beforeAll(async () => {
    bundle = await bundleWorker("rootfs");
    pool = new WorkerPool<RootfsTasks>({ file: bundle.file, maxThreads: 2 });
    files = new LocalHostFiles(pool);
  });

  afterAll(async () => {
    await pool.close();
    await bundle.remove();
  });

  beforeEach(async () => {
    base = await mkdtemp(path.join(tmpdir(), "blazar-storage-"));
    share = path.join(base, "share");
    scratch = path.join(base, "scratch");
    for (const directory of [share, scratch]) mkdirSync(directory);
    store = new HostRootfsStore({ workers: pool, empty: await makeEmptyImage(base) });
  });

  afterEach(async () => {
    const left = mountsBelow(base);
    for (const point of left) execFileSync("umount", ["-l", point]);
    await rm(base, { recursive: true, force: true });
    expect(left).toEqual([]);
  });

  test("memory is given back while the process goes on", async () => {
    await pool.run("giveBack", { text: true });
    expect(await pool.run("warm", undefined)).toBeUndefined();
  });

  test("several layers show as one tree, read-only and harmless to the host", async () => {
    const request = overlayRequest("c1", makeLayers(3));
    const plan = await store.plan(request);
    await store.apply(plan);

    const root = path.join(share, "c1/rootfs");
    expect((await readdir(root)).sort()).toEqual(["from-0", "from-1", "from-2", "name"]);
    expect(readFileSync(path.join(root, "name"), "utf8")).toBe("layer 0");
    expect(() => writeFileSync(path.join(root, "name"), "x")).toThrow(/EROFS/);
    expect(mountLine(root)).toMatch(/ ro,nosuid,nodev,noexec[, ].* - overlay /);

    await store.release(plan);
    expect(existsSync(path.join(share, "c1"))).toBe(false);
  });

  test("one layer is bound read-only, and stays writable for its owner", async () => {
    const [layer = ""] = makeLayers(1);
    const plan = await store.plan(
      request("c1", { type: "bind", source: layer, target: "", options: ["rbind", "rw"] }),
    );
    await store.apply(plan);

    const root = path.join(share, "c1/rootfs");
    expect(() => writeFileSync(path.join(root, "new"), "x")).toThrow(/EROFS/);
    expect(mountLine(root)).toMatch(/ ro,nosuid,nodev,noexec[, ]/);
    writeFileSync(path.join(layer, "new"), "x");
    await store.release(plan);
    expect(existsSync(shareOf(plan).directory)).toBe(false);
  });

  test("the writable layer is a sparse copy for the VMM's user alone", async () => {
    const plan = await store.plan(overlayRequest("c1", makeLayers(2)));
    await store.apply(plan);

    const image = statSync(plan.disk.path);
    expect(image.size).toBe(EMPTY_IMAGE_SIZE);
    expect(image.blocks * 512).toBeLessThan(1024 * 1024);
    expect(image.mode & 0o7777).toBe(0o600);
    expect([image.uid, image.gid]).toEqual([OWNER.uid, OWNER.gid]);
    const file = await open(plan.disk.path);
    for (const [offset, length] of EMPTY_IMAGE_EXTENTS) {
      const around = Buffer.alloc(length + 1);
      await file.read(around, 0, around.length, offset);
      expect(around.subarray(0, length).equals(Buffer.alloc(length, 0x5a))).toBe(true);
      expect(around[length]).toBe(0);
    }
    await file.close();
    await store.release(plan);
  });

  test("a container that starts again finds its writes; scratch images go with the container", async () => {
    const layers = makeLayers(2);
    const plan = await store.plan(overlayRequest("c1", layers));
    await store.apply(plan);
    writeFileSync(plan.disk.path, "written by the guest");
    await store.release(plan);

    const again = await store.plan(overlayRequest("c1", layers));
    expect(shareOf(again).layers.slice(1)).toEqual(layers);
    await store.apply(again);
    expect(readFileSync(again.disk.path, "utf8")).toBe("written by the guest");
    await store.release(again);

    const view = await store.plan(
      request("c2", {
        type: "overlay",
        source: "overlay",
        target: "",
        options: [`lowerdir=${layers.join(":")}`],
      }),
    );
    await store.apply(view);
    expect(existsSync(view.disk.path)).toBe(true);
    await store.release(view);
    expect(await readdir(scratch)).toEqual([]);
  });

  test("an upperdir with files is the topmost layer, and our image in it does not show", async () => {
    const layers = makeLayers(2);
    const wanted = overlayRequest("c1", layers);
    writeFileSync(path.join(base, "c1-upper/name"), "from the upper");
    execFileSync("mknod", [path.join(base, "c1-upper/from-1"), "c", "0", "0"]);
    const plan = await store.plan(wanted);
    await store.apply(plan);

    expect(existsSync(plan.disk.path)).toBe(true);
    expect((await readdir(path.join(share, "c1/rootfs"))).sort()).toEqual(["from-0", "name"]);
    expect(readFileSync(path.join(share, "c1/rootfs/name"), "utf8")).toBe("from the upper");
    await store.release(plan);
    expect(existsSync(shareOf(plan).directory)).toBe(false);
    expect(readFileSync(path.join(base, "c1-upper/name"), "utf8")).toBe("from the upper");
  });

  test("layers whose names need escaping are found", async () => {
    const odd = ["a:b", "c,d", "e\\f", "sp ace"].map((name) => {
      const layer = path.join(base, name);
      mkdirSync(layer);
      writeFileSync(path.join(layer, `in ${name}`), "");
      return layer;
    });
    const escaped = odd.map((layer) => layer.replace(/[\\:,]/g, "\\$&")).join(":");
    const plan = await store.plan(
      request("c1", { type: "overlay", source: "overlay", target: "", options: [`lowerdir=${escaped}`] }),
    );
    await store.apply(plan);
    expect((await readdir(path.join(share, "c1/rootfs"))).sort()).toEqual([
      "in a:b",
      "in c,d",
      "in e\\f",
      "in sp ace",
    ]);
    await store.release(plan);
  });

  test("a list of layers longer than mount(2) takes is mounted relative to its parent, whole", async () => {
    const layers = makeLayers(60, `${"deep".repeat(20)}/`);
    expect(`lowerdir=${layers.join(":")}`.length).toBeGreaterThan(4095);
    const plan = await store.plan(overlayRequest("c1", layers));
    const cwd = process.cwd();
    await store.apply(plan);
    expect((await readdir(path.join(share, "c1/rootfs"))).length).toBe(61);
    expect(process.cwd()).toBe(cwd);
    await store.release(plan);
  });

  test("a list that is too long even so is refused by its bytes, before anything is made", async () => {
    const layers = makeLayers(40, "", "long".repeat(40));
    const error = await store.plan(overlayRequest("c1", layers)).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(BlazarError);
    expect(error).toMatchObject({ code: "MountOptionsTooLong" });
    expect(String(error)).toMatch(/take \d{4} bytes .* mount\(2\) takes 4095/);
    expect(await readdir(share)).toEqual([]);
  });

  test("a plan that fails half-way leaves nothing: the mount fails", async () => {
    const layers = makeLayers(3);
    const plan = await store.plan(overlayRequest("c1", layers));
    await rm(layers[1] ?? "", { recursive: true });
    await expect(store.apply(plan)).rejects.toMatchObject({
      code: "MountFailed",
      message: expect.stringContaining(layers[1] ?? "?"),
    });
    expect(await readdir(share)).toEqual([]);
    expect(existsSync(plan.disk.path)).toBe(false);
  });

  test("a plan that fails half-way leaves nothing: the disk cannot be made", async () => {
    const plan = await store.plan(overlayRequest("c1", makeLayers(3)));
    await rm(path.join(base, "c1-upper"), { recursive: true });
    await expect(store.apply(plan)).rejects.toMatchObject({ code: "StorageFailed" });
    expect(await readdir(share)).toEqual([]);
  });

  test("releasing is idempotent, and undoes what a dead daemon left in the middle", async () => {
    const plan = await store.plan(overlayRequest("c1", makeLayers(3)));
    await store.release(plan);
    await store.apply(plan);
    // as if the daemon had died twice, mounting both times, and once while copying
    execFileSync("mount", ["--bind", layerOf(plan), path.join(shareOf(plan).directory, "rootfs")]);
    writeFileSync(`${plan.disk.path}.new`, "half");
    await store.release(plan);
    expect(existsSync(shareOf(plan).directory)).toBe(false);
    expect(existsSync(`${plan.disk.path}.new`)).toBe(false);
    await store.release(plan);
  });

  test("a container's directory that exists is nobody else's to take or to undo", async () => {
    const plan = await store.plan(overlayRequest("c1", makeLayers(2)));
    await store.apply(plan);
    await expect(store.apply(plan)).rejects.toMatchObject({ code: "ContainerExists" });
    expect(existsSync(path.join(share, "c1/rootfs/name"))).toBe(true);
    await store.release(plan);
  });

  test("layers that are busy are unmounted when their user lets go", async () => {
    const plan = await store.plan(overlayRequest("c1", makeLayers(2)));
    await store.apply(plan);
    const held = await open(path.join(share, "c1/rootfs/name"));
    await store.release(plan);
    expect(existsSync(shareOf(plan).directory)).toBe(false);
    expect(await held.readFile("utf8")).toBe("layer 0");
    await held.close();
  });

  test("giving up undoes what was made meanwhile", async () => {
    const plan = await store.plan(overlayRequest("c1", makeLayers(2)));
    const abort = new AbortController();
    const applied = store.apply(plan, abort.signal);
    abort.abort();
    await expect(applied).rejects.toMatchObject({ code: "Cancelled" });
    expect(await readdir(share)).toEqual([]);
  });

  test("a disk snapshot is handed through and never removed", async () => {
    const image = path.join(base, "snapshot.img");
    writeFileSync(image, "a filesystem");
    const plan = await store.plan(
      request("c1", { type: "ext4", source: image, target: "", options: ["loop", "rw"] }),
    );
    await store.apply(plan);
    expect(plan.guest).toEqual({ kind: "disk", path: "", readonly: false });
    await store.release(plan);
    expect(readFileSync(image, "utf8")).toBe("a filesystem");
    expect(await readdir(share)).toEqual([]);
  });

  test("twenty containers at once do not disturb each other", async () => {
    const layers = makeLayers(5);
    const plans = await Promise.all(
      Array.from({ length: 20 }, (_, index) => store.plan(overlayRequest(`c${index}`, layers))),
    );
    await Promise.all(plans.map((plan) => store.apply(plan)));
    expect(mountsBelow(share).length).toBe(20);
    await Promise.all(plans.map((plan) => store.release(plan)));
    expect(await readdir(share)).toEqual([]);
  });

  test("everything below a directory is unmounted, stacked and nested, with odd names", async () => {
    const odd = path.join(share, "sp ace\ttab");
    mkdirSync(odd);
    for (const point of [odd, odd, share]) execFileSync("mount", ["-t", "tmpfs", "tmpfs", point]);
    await files.unmountBelow(share);
    expect(mountsBelow(share)).toEqual([]);
    await files.unmountBelow(share);
    await files.unmountBelow(path.join(base, "never-was/at-all"));
  });

  test("a neighbour whose name begins alike stays mounted", async () => {
    const neighbour = path.join(base, "share-2");
    mkdirSync(neighbour);
    execFileSync("mount", ["-t", "tmpfs", "tmpfs", neighbour]);
    await files.unmountBelow(share);
    expect(mountsBelow(neighbour)).toEqual([neighbour]);
    execFileSync("umount", [neighbour]);
  });

  test("removing a tree follows no symlink and takes what is mounted off first", async () => {
    const outside = path.join(base, "outside");
    mkdirSync(path.join(outside, "kept"), { recursive: true });
    writeFileSync(path.join(outside, "precious"), "x");
    mkdirSync(path.join(share, "a/b/bound"), { recursive: true });
    symlinkSync(outside, path.join(share, "a/link"));
    execFileSync("mount", ["--bind", outside, path.join(share, "a/b/bound")]);
    await files.removeTree(share);
    expect(existsSync(share)).toBe(false);
    expect((await readdir(outside)).sort()).toEqual(["kept", "precious"]);
    await files.removeTree(share);
  });

  test("removing a tree has no depth that is too much for it, nor too many descriptors", async () => {
    let deepest = share;
    for (let level = 0; level < 700; level++) {
      deepest = path.join(deepest, "d");
      if (deepest.length > 3000) break;
      mkdirSync(deepest, { recursive: true });
      if (level % 50 === 0) writeFileSync(path.join(deepest, "file"), "");
    }
    await removeTree(share);
    expect(existsSync(share)).toBe(false);
  });

  test("removing a tree enters no mount that is still there, of whatever device", async () => {
    const outside = path.join(base, "outside");
    const bound = path.join(share, "a/bound");
    mkdirSync(path.join(outside, "kept"), { recursive: true });
    writeFileSync(path.join(outside, "precious"), "");
    mkdirSync(bound, { recursive: true });
    execFileSync("mount", ["--bind", outside, bound]);
    // as after an unmount that has failed
    await expect(removeTree(share)).rejects.toThrow(/something is mounted in it/);
    expect((await readdir(outside)).sort()).toEqual(["kept", "precious"]);
    execFileSync("umount", [bound]);
    await removeTree(share);
    expect(existsSync(share)).toBe(false);
  });

  test("a directory is made with its mode and owner whatever the umask", async () => {
    const directory = path.join(base, "x/y/z");
    const umask = process.umask(0o077);
    try {
      await files.makeDirectory(directory, 0o711, OWNER);
      await files.makeDirectory(directory, 0o711, OWNER);
    } finally {
      process.umask(umask);
    }
    const made = statSync(directory);
    expect([made.mode & 0o7777, made.uid, made.gid]).toEqual([0o711, OWNER.uid, OWNER.gid]);
  });
});

/** Layer directories, the topmost first; each has a file of its own, and all have `name`. */
function makeLayers(count: number, infix = "", suffix = ""): string[] {
  return Array.from({ length: count }, (_, index) => {
    const layer = path.join(base, `layers/${infix}${index}${suffix}`);
    mkdirSync(layer, { recursive: true });
    writeFileSync(path.join(layer, "name"), `layer ${index}`);
    writeFileSync(path.join(layer, `from-${index}`), "");
    return layer;
  });
}

function overlayRequest(containerId: string, layers: readonly string[]): RootfsRequest {
  const upper = path.join(base, `${containerId}-upper`);
  const work = path.join(base, `${containerId}-work`);
  for (const directory of [upper, work]) mkdirSync(directory, { recursive: true });
  const options = [`workdir=${work}`, `upperdir=${upper}`, `lowerdir=${layers.join(":")}`, "index=off"];
  return request(containerId, { type: "overlay", source: "overlay", target: "", options });
}

function request(containerId: string, mount: RootfsMount): RootfsRequest {
  return { containerId, mounts: [mount], shareDirectory: share, scratchDirectory: scratch, owner: OWNER };
}

function mountLine(point: string): string {
  return mountinfo().find((line) => line.split(" ")[4] === point) ?? "not mounted";
}

function mountsBelow(directory: string): string[] {
  const points = mountinfo().map((line) => line.split(" ")[4] ?? "");
  return points.filter((point) => point === directory || point.startsWith(`${directory}/`)).reverse();
}

function mountinfo(): string[] {
  return readFileSync("/proc/self/mountinfo", "utf8").split("\n");
}

function layerOf(plan: RootfsPlan): string {
  return shareOf(plan).layers[0] ?? "";
}
