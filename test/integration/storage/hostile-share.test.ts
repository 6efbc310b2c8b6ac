/**
 * A guest that speaks 9P itself, with no well-behaved kernel between: it can neither leave its share nor change it.
 *
 * QEMU passes a guest's bytes on as they are, so the client of the test is connected to the file server itself.
 */
import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { chmod, chown, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { RootfsPlan } from "../../../src/contracts/storage.ts";
import { HostRootfsStore } from "../../../src/host/storage/rootfs-store.ts";
import { WorkerPool } from "../../../src/host/storage/worker-pool.ts";
import type { RootfsTasks } from "../../../src/workers/rootfs.worker.ts";
import { makeEmptyImage } from "../../support/empty-image.ts";
import {
  type NinepClient,
  NO_FID,
  type Qid,
  T,
  text,
  u8,
  u16,
  u32,
  u64,
} from "../../support/ninep/client.ts";
import { makeHostileShare } from "../../support/ninep/hostile.ts";
import { ServedDirectory } from "../../support/ninep/server.ts";
import { bundleWorker, type WorkerBundle } from "../../support/worker-bundle.ts";

const isRoot = process.getuid?.() === 0;
const [ENOENT, EBADF, ENXIO, ENOTDIR, EINVAL, EROFS, ELOOP] = [2, 9, 6, 20, 22, 30, 40];
const EOPNOTSUPP = 95;
const [O_WRONLY, O_RDWR, O_CREAT, O_TRUNC, O_APPEND, O_NONBLOCK] = [1, 2, 0o100, 0o1000, 0o2000, 0o4000];
/** As the user of a VM, with the one capability that a server has. */
const CONFINED = [
  ...["setpriv", "--reuid=61001", "--regid=61001", "--clear-groups", "--inh-caps=-all,+dac_read_search"],
  ...["--ambient-caps=-all,+dac_read_search", "--bounding-set=-all,+dac_read_search", "--no-new-privs", "--"],
];

describe.skipIf(!isRoot)("a guest that speaks 9P itself", () => {
  let base: string;
  let bundle: WorkerBundle;
  let pool: WorkerPool<RootfsTasks>;
  let store: HostRootfsStore;
  let plan: RootfsPlan;
  let share: string;
  let before: string;
  let served: ServedDirectory;
  let client: NinepClient;
  let root: Qid;
  /** A fid of the layer's root. */
  let directory: number;

  beforeEach(async () => {
    base = await mkdtemp(path.join(tmpdir(), "blazar-hostile-"));
    bundle = await bundleWorker("rootfs");
    pool = new WorkerPool<RootfsTasks>({ file: bundle.file });
    store = new HostRootfsStore({ workers: pool, empty: await makeEmptyImage(base) });
    const made = await makeHostileShare(base);
    share = made.share;
    plan = await store.plan({
      containerId: "c1",
      mounts: [{ type: "bind", source: made.layer, target: "", options: ["rbind", "rw"] }],
      shareDirectory: share,
      scratchDirectory: base,
      owner: undefined,
    });
    await store.apply(plan);
    before = listing(share);
    await chmod(base, 0o711);
    const scratch = await mkdtemp(path.join(base, "vm-"));
    await chown(scratch, 61_001, 61_001);
    served = await ServedDirectory.start(share, scratch, CONFINED);
    client = served.client;
    root = await client.begin();
    directory = await client.walk(0, "c1", "rootfs");
  });
  afterEach(async () => {
    await served.close();
    expect(listing(share)).toBe(before);
    expect(await readFile(path.join(base, "canary"), "utf8")).toBe("CANARY\n");
    await store.release(plan);
    expect(existsSync(plan.directory)).toBe(false);
    await pool.close();
    await bundle.remove();
    await rm(base, { recursive: true });
  });

  test.each<[string, "root" | "layer", readonly string[]]>([
    ["up from the root", "root", [".."]],
    ["up through a container", "layer", ["..", "..", "..", "..", ".."]],
  ])("walks %s and is at the root", async (_name, from, names) => {
    const fid = await client.walk(from === "root" ? 0 : directory, ...names);
    expect((await client.qid(fid)).path).toBe(root.path);
  });

  test.each<[string, "root" | "layer", readonly string[]]>([
    ["up and into a neighbour", "root", ["..", "other", "secret"]],
    ["up in one name", "root", ["../other/secret"]],
    ["down and up in one name", "root", ["c1/../../other/secret"]],
    ["to an absolute name", "root", ["/etc/passwd"]],
    ["to an empty name", "root", [""]],
    ["to itself by its name", "root", ["."]],
    ["to a name with a NUL", "root", ["c1\0"]],
    ["through an absolute symlink", "layer", ["absolute", "x"]],
    ["through a climbing symlink", "layer", ["climbing", "canary"]],
    ["through a file", "layer", ["file", ".."]],
  ])("does not walk %s", async (_name, from, names) => {
    const start = from === "root" ? 0 : directory;
    await expect(client.walk(start, ...names)).rejects.toThrow(/errno (2|20|22)$/);
  });

  test("attaches to nothing else", async () => {
    for (const tree of ["/..", "..", "c1", "/etc"]) {
      const { errno } = await client.ask(T.attach, u32(9), u32(NO_FID), text("root"), text(tree), u32(0));
      expect(errno).toBe(ENOENT);
    }
    expect((await client.ask(T.auth, u32(9), text("root"), text(""), u32(0))).errno).toBe(EOPNOTSUPP);
  });

  test("opens no symlink, no device and no FIFO", async () => {
    const expected = { absolute: ELOOP, climbing: ELOOP, device: ENXIO, fifo: ENXIO };
    for (const [name, errno] of Object.entries(expected))
      expect(await client.open(await client.walk(directory, name), O_NONBLOCK)).toBe(errno);
    expect(await client.content(directory, "file")).toBe("inside\n");
  });

  test("changes nothing", async () => {
    const file = await client.walk(directory, "file");
    const times = [u64(0), u64(0), u64(0), u64(0), u64(0)];
    const attempts: [number, Buffer[]][] = [
      [T.lcreate, [u32(directory), text("new"), u32(O_CREAT | O_RDWR), u32(0o777), u32(0)]],
      [T.mkdir, [u32(directory), text("new"), u32(0o777), u32(0)]],
      [T.symlink, [u32(directory), text("new"), text("/etc"), u32(0)]],
      [T.mknod, [u32(directory), text("new"), u32(0o060777), u32(8), u32(0), u32(0)]],
      [T.renameat, [u32(directory), text("file"), u32(0), text("../file")]],
      [T.renameat, [u32(directory), text("file"), u32(directory), text("renamed")]],
      [T.rename, [u32(file), u32(directory), text("renamed")]],
      [T.unlinkat, [u32(directory), text("file"), u32(0)]],
      [T.setattr, [u32(0), u32(1), u32(0o777), u32(0), u32(0), ...times]],
      [T.setattr, [u32(file), u32(8), u32(0), u32(0), u32(0), ...times]],
      [T.link, [u32(0), u32(file), text("linked")]],
      [T.xattrcreate, [u32(file), text("user.x"), u64(1), u32(0)]],
      [T.write, [u32(file), u64(0), u32(2), text("")]],
    ];
    for (const [type, fields] of attempts) expect((await client.ask(type, ...fields)).errno).toBe(EROFS);
    for (const flags of [O_WRONLY, O_RDWR, O_TRUNC, O_RDWR | O_APPEND, O_CREAT])
      expect(await client.open(file, flags)).toBe(EROFS);
    expect(await client.open(file)).toBe(0);
    expect((await client.ask(T.write, u32(file), u64(0), u32(1), u8(0))).errno).toBe(EROFS);
    expect((await client.ask(T.remove, u32(file))).errno).toBe(EROFS);
    expect((await client.clunk(file)).errno).toBe(EBADF);
  });

  test("gets an answer to nonsense that is well formed", async () => {
    expect((await client.ask(200)).errno).toBe(EOPNOTSUPP);
    expect((await client.ask(T.read, u32(4711), u64(0), u32(16))).errno).toBe(EBADF);
    expect((await client.ask(T.walk, u32(0), u32(directory), u16(0))).errno).toBe(EINVAL);
    expect((await client.ask(T.walk, u32(0), u32(99), u16(17))).errno).toBe(EINVAL);
    const far = await client.walk(directory, "file");
    await client.open(far);
    const beyond = await client.ask(T.read, u32(far), u64(0xffff_ffff_ffff_ffffn), u32(16));
    expect(beyond.errno).toBe(EINVAL);
    expect((await client.read(far, 2 ** 52, 16)).length).toBe(0);
    expect((await client.ask(T.readdir, u32(far), u64(0), u32(100))).errno).toBe(EBADF);
    expect((await client.ask(T.walk, u32(far), u32(100), u16(1), text("x"))).errno).toBe(ENOTDIR);
    expect((await client.ask(T.xattrwalk, u32(far), u32(far), text(""))).errno).toBe(EINVAL);
    expect(await client.content(directory, "file")).toBe("inside\n");
  });

  const walk = Buffer.concat([u8(T.walk), u16(1), u32(0), u32(77), u16(16), text("c1")]);
  test.each<[string, Buffer]>([
    ["a length beyond all messages", Buffer.concat([u32(0x7fff_ffff), u8(T.read), u16(1), u32(0)])],
    ["a length beyond the agreement", Buffer.concat([u32(512_001), u8(T.read), u16(1), u32(0)])],
    ["a length below the header's", Buffer.concat([u32(6), u8(T.clunk), u16(1)])],
    ["no length", Buffer.alloc(7)],
    ["fewer fields than it has to have", Buffer.concat([u32(9), u8(T.clunk), u16(1), u16(0)])],
    ["names that are not there", Buffer.concat([u32(4 + walk.length), walk])],
    [
      "a string beyond its end",
      Buffer.concat([u32(19), u8(T.walk), u16(1), u32(0), u32(7), u16(1), u16(99)]),
    ],
  ])("is left when it sends a message with %s", async (_name, bytes) => {
    expect((await client.raw(bytes)).type).toBe(0);
    expect((await served.end()).code).toBe(1);
  });

  test("is left when it begins with anything but the version", async () => {
    await served.close();
    served = await ServedDirectory.start(share, await mkdtemp(path.join(base, "again-")));
    client = served.client;
    const attach = await client.ask(T.attach, u32(0), u32(NO_FID), text(""), text(""), u32(0));
    expect(attach.type).toBe(0);
    expect((await served.end()).code).toBe(1);
  });

  test("cannot make the server grow without bound", async () => {
    let made = 0;
    for (let errno = 0; errno === 0 && made < 300_000; made++)
      errno = (await client.ask(T.walk, u32(directory), u32(1000 + made), u16(1), text("file"))).errno;
    // and the layer's own
    expect(made).toBe(250_000 - 2 + 1);
    expect(residentKilobytes(served.process.pid)).toBeLessThan(192 * 1024);
    expect(await client.content(0, "c1", "rootfs", "file").catch(String)).toContain("errno 23");
    await client.begin();
    expect(await client.content(0, "c1", "rootfs", "file")).toBe("inside\n");
  }, 180_000);
});

/** Names, modes, owners, sizes and times of all there is. */
function listing(directory: string): string {
  return execFileSync("find", [directory, "-printf", "%P %M %U:%G %s %T@ %l\n"], { encoding: "utf8" });
}

function residentKilobytes(pid: number | undefined): number {
  const status = execFileSync("cat", [`/proc/${pid}/status`], { encoding: "utf8" });
  return Number(/^VmRSS:\s+(\d+)/m.exec(status)?.[1]);
}
