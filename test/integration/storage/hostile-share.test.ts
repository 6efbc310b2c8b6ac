/**
 * A guest that speaks FUSE itself, with no well-behaved kernel between: it can neither leave its share nor change what is
 * read-only.
 *
 * QEMU passes a guest's bytes on as they are, so the client of the test is connected to the file server itself.
 */
import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { chmod, chown, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import fc from "fast-check";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { RootfsPlan } from "../../../src/contracts/storage.ts";
import { HostRootfsStore } from "../../../src/host/storage/rootfs-store.ts";
import { WorkerPool } from "../../../src/host/storage/worker-pool.ts";
import type { RootfsTasks } from "../../../src/workers/rootfs.worker.ts";
import { makeEmptyImage } from "../../support/empty-image.ts";
import { type FuseClient, OP, ROOT, text, u32, u64, zeros } from "../../support/fuse/client.ts";
import { makeHostileShare } from "../../support/fuse/hostile.ts";
import { ServedDirectory } from "../../support/fuse/server.ts";
import { shareOf } from "../../support/share-of.ts";
import { bundleWorker, type WorkerBundle } from "../../support/worker-bundle.ts";

const isRoot = process.getuid?.() === 0;
const [EBADF, EROFS, ESTALE] = [9, 30, 116];
const O_RDWR = 2;
/** As the user of a VM, with the one capability that a server has. */
const CONFINED = [
  ...["setpriv", "--reuid=61001", "--regid=61001", "--clear-groups", "--inh-caps=-all,+dac_read_search"],
  ...["--ambient-caps=-all,+dac_read_search", "--bounding-set=-all,+dac_read_search", "--no-new-privs", "--"],
];

describe.skipIf(!isRoot).each([
  ["read-only", false],
  ["writable", true],
])("a guest that speaks FUSE itself, its share %s", (_name, writable) => {
  let bundle: WorkerBundle;
  let pool: WorkerPool<RootfsTasks>;
  let base: string;
  let store: HostRootfsStore;
  let plan: RootfsPlan;
  let share: string;
  let before: string;
  let served: ServedDirectory;
  let client: FuseClient;
  /** The layer's root. */
  let directory: number;

  const layerOf = (): string => path.join(share, "c1/rootfs");

  beforeAll(async () => {
    bundle = await bundleWorker("rootfs");
    pool = new WorkerPool<RootfsTasks>({ file: bundle.file });
  });
  afterAll(async () => {
    await pool.close();
    await bundle.remove();
  });

  beforeEach(async () => {
    base = await mkdtemp(path.join(tmpdir(), "blazar-hostile-"));
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
    before = listing(layerOf());
    await chmod(base, 0o711);
    const scratch = await mkdtemp(path.join(base, "vm-"));
    await chown(scratch, 61_001, 61_001);
    served = await ServedDirectory.start(share, scratch, { wrapper: CONFINED, writable });
    client = served.client;
    await client.begin();
    directory = (await client.lookUp(ROOT, "c1", "rootfs")).nodeId;
  });
  afterEach(async () => {
    await served.close();
    expect(listing(layerOf())).toBe(before);
    expect(await readFile(path.join(base, "canary"), "utf8")).toBe("CANARY\n");
    if (existsSync(path.join(share, "full"))) execFileSync("umount", ["-l", path.join(share, "full")]);
    await store.release(plan);
    expect(existsSync(shareOf(plan).directory)).toBe(false);
    await rm(base, { recursive: true });
  });

  test.each<[string, readonly (string | Buffer)[]]>([
    ["up from the root", [".."]],
    ["to itself by its name", ["."]],
    ["to an empty name", [""]],
    ["up in one name", ["../other/secret"]],
    ["down and up in one name", ["c1/../../other/secret"]],
    ["to an absolute name", ["/etc/passwd"]],
  ])("is left when it looks %s", async (_name, names) => {
    await expect(client.lookUp(ROOT, ...names)).rejects.toThrow("errno -1");
    expect((await served.end()).code).toBe(1);
  });

  test.each<[string, readonly string[]]>([
    ["an absolute symlink", ["absolute", "x"]],
    ["a climbing symlink", ["climbing", "canary"]],
    ["a file", ["file", "x"]],
  ])("does not look through %s", async (_name, names) => {
    await expect(client.lookUp(directory, ...names)).rejects.toThrow(/errno (2|20)$/);
  });

  test("opens no symlink, no device and no FIFO, and reads them neither", async () => {
    for (const name of ["absolute", "climbing", "device", "fifo"]) {
      const { nodeId } = await client.lookUp(directory, name);
      await expect(client.open(nodeId).then((handle) => client.read(nodeId, handle, 0, 10))).rejects.toThrow(
        /errno (6|9|40)$/,
      );
    }
    expect(await client.content(directory, "file")).toBe("inside\n");
  });

  test("changes nothing where the host has mounted it read-only", async () => {
    const { nodeId: file } = await client.lookUp(directory, "file");
    const attempts: [number, number, Buffer[]][] = [
      [OP.create, directory, [u32(0o102), u32(0o100777), u32(0), u32(0), text("new")]],
      [OP.mkdir, directory, [u32(0o777), u32(0), text("new")]],
      [OP.symlink, directory, [text("new"), text("/etc")]],
      [OP.mknod, directory, [u32(0o010777), u32(0), u32(0), u32(0), text("new")]],
      [OP.rename, directory, [u64(directory), text("file"), text("renamed")]],
      [OP.unlink, directory, [text("file")]],
      [OP.rmdir, directory, [text("directory")]],
      [OP.setattr, file, [u32(1), zeros(64), u32(0o777), zeros(16)]],
      [OP.link, directory, [u64(file), text("linked")]],
      [OP.setxattr, file, [u32(1), u32(0), zeros(8), text("user.x"), Buffer.from("1")]],
    ];
    for (const [opcode, node, fields] of attempts)
      expect([opcode, (await client.ask(opcode, node, ...fields)).errno]).toEqual([opcode, EROFS]);
    if (writable) await expect(client.open(file, O_RDWR)).rejects.toThrow(`errno ${EROFS}`);
    const handle = await client.open(file);
    expect((await client.write(file, handle, 0, "x")).errno).toBe(writable ? EBADF : EROFS);
  });

  test("gets an answer to nonsense that is well formed", async () => {
    const { nodeId } = await client.lookUp(directory, "file");
    expect((await client.ask(OP.getattr, 4711, zeros(16))).errno).toBe(ESTALE);
    await expect(client.read(nodeId, 4711, 0, 16)).rejects.toThrow(`errno ${EBADF}`);
    client.send(OP.forget, 4711, u64(1));
    client.send(OP.forget, ROOT, u64(1_000_000));
    client.send(OP.interrupt, 0, u64(4711));
    expect(await client.content(directory, "file")).toBe("inside\n");
  });

  const whole = (bytes: Buffer): Buffer => Buffer.concat([u32(4 + bytes.length), bytes]);
  test.each<[string, Buffer]>([
    ["a length beyond all messages", Buffer.concat([u32(0x7fff_ffff), zeros(60)])],
    ["a length below the header's", Buffer.concat([u32(39), zeros(60)])],
    ["no length", zeros(64)],
    [
      "fewer fields than it has to have",
      whole(Buffer.concat([u32(OP.getattr), u64(2), u64(1), zeros(16), u32(0)])),
    ],
    [
      "a name without an end",
      whole(Buffer.concat([u32(OP.lookup), u64(2), u64(1), zeros(16), Buffer.from("c1")])),
    ],
    [
      "a second beginning",
      whole(Buffer.concat([u32(OP.init), u64(2), u64(0), zeros(16), u32(7), u32(37), zeros(56)])),
    ],
    ["a number beyond all files", whole(Buffer.concat([u32(OP.getattr), u64(2), u64(1n << 60n), zeros(32)]))],
  ])("is left when it sends a message with %s", async (_name, bytes) => {
    await client.raw(bytes);
    expect((await served.end()).code).toBe(1);
  });

  test("is left when it begins with anything but the beginning", async () => {
    await served.close();
    const scratch = await mkdtemp(path.join(base, "again-"));
    served = await ServedDirectory.start(share, scratch, { writable });
    client = served.client;
    expect((await client.ask(OP.getattr, ROOT, zeros(16))).errno).toBe(-1);
    expect((await served.end()).code).toBe(1);
  });

  test("can send any bytes: the server ends or answers, and opens nothing outside", async () => {
    const opcodes = Object.values(OP).filter((opcode) => opcode !== OP.init);
    const request = fc.record({
      opcode: fc.oneof(fc.constantFrom(...opcodes), fc.nat(60)),
      node: fc.constantFrom(ROOT, directory, directory + 1, 4711),
      body: fc.oneof(
        fc.uint8Array({ maxLength: 200 }),
        fc
          .tuple(
            fc.uint8Array({ minLength: 40, maxLength: 40 }),
            fc.constantFrom("../canary", "absolute", "file"),
          )
          .map(([bytes, name]) => Buffer.concat([bytes, text(name), text(name)])),
        fc
          .tuple(fc.constantFrom(0, 4, 8, 16, 24), fc.constantFrom("absolute", "climbing", "file", "device"))
          .map(([length, name]) => Buffer.concat([zeros(length), text(name), text(name)])),
      ),
    });
    const runs = fc.asyncProperty(fc.array(request, { minLength: 1, maxLength: 20 }), async (requests) => {
      if (client.closed) {
        expect((await served.end()).code).toBe(1);
        const scratch = await mkdtemp(path.join(base, "vm-"));
        await chown(scratch, 61_001, 61_001);
        served = await ServedDirectory.start(share, scratch, { wrapper: CONFINED, writable });
        client = served.client;
        await client.begin();
        await client.lookUp(ROOT, "c1", "rootfs", "file");
      }
      for (const { opcode, node, body } of requests) client.send(opcode, node, Buffer.from(body));
      if ((await client.ask(OP.statfs, ROOT)).errno === -1) return;
      const open = openFiles(served.process.pid);
      for (const each of open)
        expect(each.startsWith("/") && !each.startsWith(share) && !each.startsWith("/dev/null")).toBe(false);
    });
    await fc.assert(runs, { numRuns: 60 });
  }, 120_000);

  test("cannot make the server grow without bound", async () => {
    const layer = path.join(base, "layer");
    execFileSync("sh", ["-c", `seq -f '${layer}/many-%.0f' 1 2000 | xargs touch`]);
    before = listing(layerOf());
    // each name is another file, until the server has said that there are enough
    for (let round = 0; round < 3; round++)
      await client.askMany(2000, (index) => client.send(OP.lookup, directory, text(`many-${index + 1}`)));
    expect(residentKilobytes(served.process.pid)).toBeLessThan(16 * 1024);
    if (!writable) return;
    const { nodeId } = await client.lookUp(directory, "file");
    // in memory, so that they are made and gone soon
    execFileSync("sh", [
      "-c",
      `mkdir ${share}/full && mount -t tmpfs none ${share}/full && cd ${share}/full && seq -f n%.0f 1 260000 | xargs touch`,
    ]);
    const full = await client.lookUp(ROOT, "full");
    await client.list(full.nodeId, 1_000_000, true);
    // the server knows as many as it may: those that were not looked up for long give way
    for (let index = 1; index <= 100; index++) await client.lookUp(full.nodeId, `n${index}`);
    await client.lookUp(full.nodeId, "n260000");
    expect(residentKilobytes(served.process.pid)).toBeLessThan(24 * 1024);
    const opened = await client.askMany(70_000, () => client.send(OP.open, nodeId, u32(0), u32(0)));
    expect(new Set(opened)).toEqual(new Set([0, 23]));
    expect(opened.at(-1)).toBe(23);
    expect(await client.lookUp(directory, "file")).toMatchObject({ nodeId });
  }, 180_000);
});

function openFiles(pid: number | undefined): string[] {
  const out = execFileSync("find", [`/proc/${pid}/fd`, "-type", "l", "-printf", "%l\n"], {
    encoding: "utf8",
  });
  return out.split("\n").filter((each) => each !== "");
}

/** Names, modes, owners, sizes and times of all there is. */
function listing(directory: string): string {
  return execFileSync("find", [directory, "-printf", "%P %M %U:%G %s %T@ %l\n"], { encoding: "utf8" });
}

function residentKilobytes(pid: number | undefined): number {
  const status = execFileSync("cat", [`/proc/${pid}/status`], { encoding: "utf8" });
  return Number(/^VmRSS:\s+(\d+)/m.exec(status)?.[1]);
}
