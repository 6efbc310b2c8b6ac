/** A file server whose share may be changed, against a client of the test's: each request that changes something. */
import { execFile, execFileSync } from "node:child_process";
import { existsSync, lstatSync, mkdirSync, readFileSync, readlinkSync, writeFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { volumeName } from "../../../src/contracts/volume-names.ts";
import { entry, type FuseClient, OP, ROOT, text, u32, u64, zeros } from "../../support/fuse/client.ts";
import { ServedDirectory } from "../../support/fuse/server.ts";

const isRoot = process.getuid?.() === 0;
const [EPERM, ENOENT, EINTR, EAGAIN, EEXIST, EFBIG, EROFS] = [1, 2, 4, 11, 17, 27, 30];
const [NOREPLACE, EXCHANGE] = [1, 2];
const [MODE, UID, SIZE, MTIME] = [1, 2, 8, 32];
const O_APPEND = 0o2000;
const [KILL_SUIDGID, WRITE_CACHE] = [4, 1];
const [WRITE_LOCK, UNLOCK] = [1, 2];

let base: string;
let root: string;
let served: ServedDirectory;
let client: FuseClient;
const on = (name: string): string => path.join(root, name);

beforeEach(async () => {
  base = await mkdtemp(path.join(tmpdir(), "blazar-fuse-"));
  root = path.join(base, "root");
  mkdirSync(root);
  served = await ServedDirectory.start(root, base, { writable: true });
  client = served.client;
  await client.begin();
});
afterEach(async () => {
  await served.close();
  await rm(base, { recursive: true });
});

/** A struct fuse_setattr_in. */
function attributes(valid: number, { size = 0n, mode = 0, uid = 0, mtime = 0, nanoseconds = 0 }): Buffer {
  const times = [u64(0), u64(mtime), u64(0), u32(0), u32(nanoseconds), u32(0)];
  const owner = [u32(mode), u32(0), u32(uid), u32(0), u32(0)];
  return Buffer.concat([u32(valid), u32(0), u64(0), u64(size), u64(0), ...times, ...owner]);
}

describe("a share that may be changed", () => {
  test("gets files, directories, links, FIFOs and sockets, and no devices", async () => {
    const { file, handle } = await client.create(ROOT, "file", 0o666, 0o027);
    expect(file.mode).toBe(0o100640);
    expect((await client.write(file.nodeId, handle, 0, "hello")).body.readUInt32LE(0)).toBe(5);
    expect(readFileSync(on("file"), "utf8")).toBe("hello");
    const made = await client.ask(OP.mkdir, ROOT, u32(0o777), u32(0o022), text("directory"));
    expect(entry(made.body).mode).toBe(0o040755);
    expect((await client.ask(OP.symlink, ROOT, text("link"), text("/any/where"))).errno).toBe(0);
    expect(readlinkSync(on("link"))).toBe("/any/where");
    const node = (name: string, mode: number) =>
      client.ask(OP.mknod, ROOT, u32(mode), u32(0x105), u32(0), u32(0), text(name));
    expect(entry((await node("fifo", 0o010600)).body).mode).toBe(0o010600);
    expect(entry((await node("socket", 0o140600)).body).mode).toBe(0o140600);
    expect((await node("device", 0o020600)).errno).toBe(EPERM);
    const linked = await client.ask(OP.link, ROOT, u64(file.nodeId), text("second"));
    expect(entry(linked.body)).toMatchObject({ nodeId: file.nodeId, links: 2 });
  });

  test.skipIf(!isRoot)(
    "changes nothing of a read-only volume, nor of what the host mounts in it later",
    async () => {
      const [source, volume] = [path.join(base, "source"), on("v")];
      mkdirSync(path.join(source, "sub"), { recursive: true });
      mkdirSync(volume);
      const mount = (...words: string[]) => execFileSync("mount", words);
      mount("--bind", source, source);
      try {
        mount("--make-shared", source);
        mount("--bind", source, volume);
        mount("--make-slave", volume);
        mount("-o", "remount,bind,ro", volume);
        const v = await client.lookUp(ROOT, "v");
        mount("-t", "tmpfs", "tmpfs", path.join(source, "sub"));
        writeFileSync(path.join(source, "sub/file"), "kept");
        const sub = await client.lookUp(v.nodeId, "sub");
        const file = await client.lookUp(sub.nodeId, "file");
        const refused = async (opcode: number, nodeId: number, ...fields: readonly Buffer[]) =>
          expect((await client.ask(opcode, nodeId, ...fields)).errno).toBe(EROFS);
        await refused(OP.create, sub.nodeId, u32(0o101), u32(0o644), u32(0), u32(0), text("new"));
        await refused(OP.mkdir, sub.nodeId, u32(0o777), u32(0), text("new"));
        await refused(OP.unlink, sub.nodeId, text("file"));
        await refused(OP.setattr, file.nodeId, attributes(SIZE, { size: 1n }));
        await refused(OP.setattr, file.nodeId, attributes(MODE, { mode: 0o777 }));
        await refused(OP.open, file.nodeId, u32(2), u32(0));
        await refused(OP.open, file.nodeId, u32(0o1000), u32(0));
        await refused(OP.mkdir, v.nodeId, u32(0o777), u32(0), text("new"));
        expect((await client.ask(OP.open, file.nodeId, u32(0), u32(0))).errno).toBe(0);
        expect(readFileSync(path.join(source, "sub/file"), "utf8")).toBe("kept");
      } finally {
        for (const point of [path.join(source, "sub"), volume, source])
          execFileSync("umount", ["-R", "-l", point]);
      }
    },
  );

  test.skipIf(!isRoot)(
    "changes nothing of a volume that its name calls read-only, whatever is mounted over it",
    async () => {
      const [source, volume] = [path.join(base, "source"), on(volumeName("v", 3, true))];
      for (const each of [source, volume]) mkdirSync(each);
      const mount = (...words: string[]) => execFileSync("mount", words);
      mount("--bind", source, volume);
      try {
        mount("-o", "remount,bind,ro", volume);
        mount("-t", "tmpfs", "tmpfs", volume);
        const { nodeId } = await client.lookUp(ROOT, path.basename(volume));
        const made = await client.ask(OP.mkdir, nodeId, u32(0o777), u32(0), text("new"));
        expect(made.errno).toBe(EROFS);
        expect(existsSync(path.join(volume, "new"))).toBe(false);
      } finally {
        for (let mounts = 0; mounts < 2; mounts++) execFileSync("umount", ["-l", volume]);
      }
    },
  );

  test("takes names away, and gives others", async () => {
    for (const name of ["a", "b"]) writeFileSync(on(name), name);
    mkdirSync(on("d"));
    const [a, d] = [await client.lookUp(ROOT, "a"), await client.lookUp(ROOT, "d")];
    const rename = (flags: number, from: string, to: string) =>
      client.ask(OP.rename2, ROOT, u64(d.nodeId), u32(flags), u32(0), text(from), text(to));
    expect((await rename(0, "a", "moved")).errno).toBe(0);
    expect((await rename(NOREPLACE, "b", "moved")).errno).toBe(EEXIST);
    expect((await rename(EXCHANGE, "b", "moved")).errno).toBe(0);
    expect([readFileSync(on("b"), "utf8"), readFileSync(on("d/moved"), "utf8")]).toEqual(["a", "b"]);
    expect((await client.lookUp(ROOT, "b")).nodeId).toBe(a.nodeId);
    expect((await client.ask(OP.unlink, d.nodeId, text("moved"))).errno).toBe(0);
    expect((await client.ask(OP.unlink, d.nodeId, text("moved"))).errno).toBe(ENOENT);
    expect((await client.ask(OP.rmdir, ROOT, text("d"))).errno).toBe(0);
    expect(existsSync(on("d"))).toBe(false);
  });

  test("keeps a file that has no name any more for who knows it", async () => {
    const { file, handle } = await client.create(ROOT, "file");
    await client.write(file.nodeId, handle, 0, "kept");
    expect((await client.ask(OP.unlink, ROOT, text("file"))).errno).toBe(0);
    writeFileSync(on("file"), "another");
    expect((await client.read(file.nodeId, handle, 0, 10)).toString()).toBe("kept");
    expect(
      (await client.ask(OP.setattr, file.nodeId, attributes(MODE | SIZE, { mode: 0o600, size: 2n }))).errno,
    ).toBe(0);
    expect(await client.attributes(file.nodeId)).toMatchObject({ mode: 0o100600, size: 2, links: 0 });
    expect((await client.lookUp(ROOT, "file")).nodeId).not.toBe(file.nodeId);
  });

  test("changes attributes, times to the nanosecond", async () => {
    const { file } = await client.create(ROOT, "file");
    const set = attributes(MODE | SIZE | MTIME, {
      mode: 0o751,
      size: 4096n,
      mtime: 1_700_000_000,
      nanoseconds: 123_456_789,
    });
    const { body } = await client.ask(OP.setattr, file.nodeId, set);
    expect(body.readUInt32LE(16 + 60)).toBe(0o100751);
    const real = lstatSync(on("file"), { bigint: true });
    expect([real.size, real.mtimeNs]).toEqual([4096n, 1_700_000_000_123_456_789n]);
    const far = attributes(SIZE, { size: 1n << 60n });
    expect((await client.ask(OP.setattr, file.nodeId, far)).errno).toBe(EFBIG);
    expect((await client.read(file.nodeId, await client.open(file.nodeId), 1n << 60n, 10)).length).toBe(0);
  });

  test("appends where the end is, whatever the guest believes, but not what was mapped", async () => {
    const { file, handle } = await client.create(ROOT, "file");
    writeFileSync(on("file"), "host");
    await client.write(file.nodeId, handle, 0, "+guest", O_APPEND);
    await client.write(file.nodeId, handle, 0, "H", O_APPEND, WRITE_CACHE);
    expect(readFileSync(on("file"), "utf8")).toBe("Host+guest");
  });

  test("copies, makes holes and finds them", async () => {
    const [from, to] = [await client.create(ROOT, "from"), await client.create(ROOT, "to")];
    await client.write(from.file.nodeId, from.handle, 0, "copied");
    const where = [
      u64(from.handle),
      u64(0),
      u64(to.file.nodeId),
      u64(to.handle),
      u64(1 << 20),
      u64(6),
      u64(0),
    ];
    expect((await client.ask(OP.copyFileRange, from.file.nodeId, ...where)).body.readUInt32LE(0)).toBe(6);
    const seek = await client.ask(OP.lseek, to.file.nodeId, u64(to.handle), u64(0), u32(3), u32(0));
    expect(seek.body.readBigUInt64LE(0)).toBe(1n << 20n);
    const room = [u64(to.handle), u64(0), u64(2 << 20), u32(0), u32(0)];
    expect((await client.ask(OP.fallocate, to.file.nodeId, ...room)).errno).toBe(0);
    expect(lstatSync(on("to")).size).toBe(2 << 20);
  });

  test.skipIf(!isRoot)(
    "gives a new file to who asked for it, and to the group of a directory that hands it down",
    async () => {
      client.user = { uid: 1000, gid: 1001, pid: 5 };
      const { file } = await client.create(ROOT, "file", 0o6755);
      expect(file).toMatchObject({ uid: 1000, gid: 1001, mode: 0o106755 });
      client.user = { uid: 0, gid: 0, pid: 5 };
      const made = entry((await client.ask(OP.mkdir, ROOT, u32(0o777), u32(0), text("shared"))).body);
      await client.ask(OP.setattr, made.nodeId, attributes(UID | 4, { uid: 7 }));
      await client.ask(OP.setattr, made.nodeId, attributes(MODE, { mode: 0o2775 }));
      client.user = { uid: 1000, gid: 1001, pid: 5 };
      expect((await client.create(made.nodeId, "file")).file).toMatchObject({ uid: 1000, gid: 0 });
      const inner = await client.ask(OP.mkdir, made.nodeId, u32(0o755), u32(0), text("inner"));
      expect(entry(inner.body)).toMatchObject({ gid: 0, mode: 0o042755 });
    },
  );

  test("takes setuid from a program that somebody without a right to it writes to", async () => {
    const { file, handle } = await client.create(ROOT, "program", 0o6755);
    await client.write(file.nodeId, handle, 0, "x");
    expect((await client.attributes(file.nodeId)).mode).toBe(0o106755);
    await client.write(file.nodeId, handle, 0, "x", 0, KILL_SUIDGID);
    expect((await client.attributes(file.nodeId)).mode).toBe(0o100755);
  });
});

describe("locks", () => {
  /** A struct fuse_lk_in. */
  const lock = (handle: number, owner: number, type: number, flags = 0) =>
    Buffer.concat([
      u64(handle),
      u64(owner),
      u64(0),
      u64((1n << 63n) - 1n),
      u32(type),
      u32(owner),
      u32(flags),
      zeros(4),
    ]);

  test.each([
    ["of records", 0],
    ["of whole files", 1],
  ])("%s keep others out until they are given back", async (_name, flags) => {
    const { file, handle } = await client.create(ROOT, "file");
    const second = await client.open(file.nodeId, 2);
    const set = (opcode: number, own: number, owner: number, type: number) =>
      client.send(opcode, file.nodeId, lock(own, owner, type, flags));
    expect((await client.answer(set(OP.setlk, handle, 1, WRITE_LOCK))).errno).toBe(0);
    expect((await client.answer(set(OP.setlk, second, 2, WRITE_LOCK))).errno).toBe(EAGAIN);
    const waiting = set(OP.setlkw, second, 2, WRITE_LOCK);
    const calledOff = set(OP.setlkw, second, 3, WRITE_LOCK);
    // the server goes on meanwhile
    expect(await client.content(ROOT, "file")).toBe("");
    client.send(OP.interrupt, 0, u64(calledOff));
    expect((await client.answer(calledOff)).errno).toBe(EINTR);
    expect(client.has(waiting)).toBe(false);
    expect((await client.answer(set(OP.setlk, handle, 1, UNLOCK))).errno).toBe(0);
    expect((await client.answer(waiting)).errno).toBe(0);
  });

  test("of records are told of, and end with a descriptor of their process or with the last of all", async () => {
    const { file, handle } = await client.create(ROOT, "file");
    const second = await client.open(file.nodeId, 2);
    const get = () => client.ask(OP.getlk, file.nodeId, lock(second, 2, WRITE_LOCK));
    await client.ask(OP.setlk, file.nodeId, lock(handle, 1, WRITE_LOCK));
    const { body } = await get();
    expect([body.readUInt32LE(16), body.readUInt32LE(20)]).toEqual([WRITE_LOCK, 1]);
    await client.ask(OP.flush, file.nodeId, u64(handle), zeros(8), u64(1));
    expect((await get()).body.readUInt32LE(16)).toBe(UNLOCK);
    await client.ask(OP.setlk, file.nodeId, lock(handle, 1, WRITE_LOCK));
    expect((await get()).body.readUInt32LE(16)).toBe(WRITE_LOCK);
    await client.ask(OP.release, file.nodeId, u64(handle), zeros(16));
    expect((await get()).body.readUInt32LE(16)).toBe(UNLOCK);
  });

  test("of the host hold as well, and who waits for one does not outlive its guest", async () => {
    const { file, handle } = await client.create(ROOT, "file");
    const holder = execFile("flock", [on("file"), "sh", "-c", "echo held; exec sleep 30"]);
    await new Promise((resolve) => holder.stdout?.once("data", resolve));
    const held = client.ask(OP.setlk, file.nodeId, lock(handle, 1, WRITE_LOCK, 1));
    expect((await held).errno).toBe(EAGAIN);
    client.send(OP.setlkw, file.nodeId, lock(handle, 1, WRITE_LOCK, 1));
    await client.content(ROOT, "file");
    client.close();
    expect((await served.end()).code).toBe(0);
    holder.kill();
  });
});
