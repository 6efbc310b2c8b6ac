/** The file server's program against a client of the test's: what it serves, and what it tells of files. */
import { execFileSync } from "node:child_process";
import { linkSync, lstatSync, mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import koffi from "koffi";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type NinepClient, T, text, u16, u32, u64 } from "../../support/ninep/client.ts";
import { ServedDirectory } from "../../support/ninep/server.ts";

const isRoot = process.getuid?.() === 0;
const [ENOENT, EBADF, ENOTDIR, EISDIR, EINVAL, ENODATA, ESTALE] = [2, 9, 20, 21, 22, 61, 116];

let base: string;
let root: string;
let served: ServedDirectory;
let client: NinepClient;

beforeEach(async () => {
  base = await mkdtemp(path.join(tmpdir(), "blazar-9p-"));
  root = path.join(base, "root");
  mkdirSync(path.join(root, "directory/inner"), { recursive: true });
  writeFileSync(path.join(root, "file"), "inside\n");
  served = await ServedDirectory.start(root, base);
  client = served.client;
  await client.begin();
});
afterEach(async () => {
  await served.close();
  await rm(base, { recursive: true });
});

describe("a served directory", () => {
  test("is read: files, links, directories", async () => {
    symlinkSync("/any/where", path.join(root, "link"));
    expect(await client.content(0, "file")).toBe("inside\n");
    const link = await client.walk(0, "link");
    const { body } = await client.ask(T.readlink, u32(link));
    expect(body.subarray(2).toString()).toBe("/any/where");
    const directory = await client.walk(0);
    expect(await client.open(directory)).toBe(0);
    expect([...(await client.list(directory)).keys()].sort()).toEqual([
      ".",
      "..",
      "directory",
      "file",
      "link",
    ]);
  });

  test("has names of any bytes, and of 255", async () => {
    const names = [Buffer.from([0xff, 0xfe, 0x41]), Buffer.from("größe"), Buffer.alloc(255, "n")];
    for (const name of names) writeFileSync(Buffer.concat([Buffer.from(`${root}/`), name]), "x");
    for (const name of names) expect(await client.content(0, name)).toBe("x");
    const directory = await client.walk(0);
    await client.open(directory);
    const listed = await client.list(directory);
    for (const name of names) expect(listed.has(name.toString("latin1"))).toBe(true);
    await expect(client.walk(0, Buffer.alloc(256, "n"))).rejects.toThrow("errno 36");
  });

  test("tells the attributes of each file", async () => {
    execFileSync("touch", ["-d", "2001-02-03T04:05:06.123456789Z", path.join(root, "file")]);
    linkSync(path.join(root, "file"), path.join(root, "second"));
    const fid = await client.walk(0, "file");
    const { body } = await client.ask(T.getattr, u32(fid), u64(0x7ff));
    const real = lstatSync(path.join(root, "file"), { bigint: true });
    expect(body.length).toBe(153);
    expect(body.readUInt32LE(21)).toBe(Number(real.mode));
    expect([body.readUInt32LE(25), body.readUInt32LE(29)]).toEqual([Number(real.uid), Number(real.gid)]);
    expect(body.readBigUInt64LE(33)).toBe(2n);
    expect(body.readBigUInt64LE(49)).toBe(7n);
    expect(body.readBigUInt64LE(89)).toBe(real.mtimeNs / 1_000_000_000n);
    expect(body.readBigUInt64LE(97)).toBe(123_456_789n);
    const second = await client.walk(0, "second");
    expect((await client.qid(second)).path).toBe((await client.qid(fid)).path);
  });

  test("gives extended attributes, and their names", async () => {
    setAttribute(path.join(root, "file"), "user.color", "red");
    const fid = await client.walk(0, "file");
    const { body } = await client.ask(T.xattrwalk, u32(fid), u32(100), text("user.color"));
    expect(body.readBigUInt64LE(0)).toBe(3n);
    expect((await client.read(100, 0, 10)).toString()).toBe("red");
    expect((await client.read(100, 2, 10)).toString()).toBe("d");
    await client.ask(T.xattrwalk, u32(fid), u32(101), text(""));
    expect((await client.read(101, 0, 100)).toString()).toContain("user.color\0");
    expect((await client.ask(T.xattrwalk, u32(fid), u32(102), text("user.none"))).errno).toBe(ENODATA);
    expect((await client.ask(T.xattrwalk, u32(0), u32(102), text("user.none"))).errno).toBe(ENODATA);
    expect((await client.ask(T.xattrwalk, u32(fid), u32(102), text("user.\0"))).errno).toBe(EINVAL);
  });

  test.skipIf(!isRoot)("shows device nodes as what they are", async () => {
    execFileSync("mknod", [path.join(root, "device"), "c", "1", "5"]);
    const fid = await client.walk(0, "device");
    const { body } = await client.ask(T.getattr, u32(fid), u64(0x7ff));
    expect(body.readUInt32LE(21) & 0o170000).toBe(0o020000);
    expect(body.readBigUInt64LE(41)).toBe(0x105n);
  });

  test("is listed whole in messages of any size, with the qids of its files", async () => {
    const names = Array.from({ length: 700 }, (_, index) => `entry-${index}`);
    for (const name of names) writeFileSync(path.join(root, "directory", name), "");
    const directory = await client.walk(0, "directory");
    await client.open(directory);
    for (const count of [64, 300, 8192, 500_000]) {
      const listed = await client.list(directory, count);
      expect(listed.size).toBe(703);
      expect(listed.get("..")?.path).toBe((await client.qid(0)).path);
      const one = await client.walk(0, "directory", "entry-77");
      expect(listed.get("entry-77")?.path).toBe((await client.qid(one)).path);
      await client.clunk(one);
    }
    expect((await client.ask(T.readdir, u32(directory), u64(0), u32(10))).errno).toBe(EINVAL);
  });

  test("reads a large file in pieces as large as a message", async () => {
    const content = Buffer.alloc(1_300_000, "0123456789");
    writeFileSync(path.join(root, "large"), content);
    const fid = await client.walk(0, "large");
    expect(await client.open(fid)).toBe(0);
    const pieces: Buffer[] = [];
    for (let at = 0; at < content.length; ) {
      const piece = await client.read(fid, at, 4_000_000);
      expect(piece.length).toBeLessThanOrEqual(512_000 - 11);
      pieces.push(piece);
      at += piece.length;
    }
    expect(Buffer.concat(pieces).equals(content)).toBe(true);
    expect((await client.read(fid, content.length, 10)).length).toBe(0);
  });

  test("walks several names at once, as far as there are any", async () => {
    const inner = await client.walk(0, "directory", "inner");
    expect((await client.qid(inner)).type).toBe(0x80);
    const partly = await client.ask(T.walk, u32(0), u32(50), u16(2), text("directory"), text("none"));
    expect([partly.errno, partly.body.readUInt16LE(0)]).toEqual([0, 1]);
    expect((await client.clunk(50)).errno).toBe(EBADF);
    await expect(client.walk(0, "none", "directory")).rejects.toThrow(`errno ${ENOENT}`);
    const through = await client.ask(T.walk, u32(0), u32(51), u16(2), text("file"), text("x"));
    expect(through.body.readUInt16LE(0)).toBe(1);
    const file = await client.walk(0, "file");
    await expect(client.walk(file, "x")).rejects.toThrow(`errno ${ENOTDIR}`);
    expect((await client.ask(T.walk, u32(inner), u32(inner), u16(1), text(".."))).errno).toBe(0);
    expect((await client.qid(inner)).path).toBe((await client.qid(await client.walk(0, "directory"))).path);
  });

  test("answers about locks and syncs as if it were alone", async () => {
    const fid = await client.walk(0, "file");
    await client.open(fid);
    const what = [u32(0), u64(0), u64(0), u32(1), text("guest")];
    const lock = await client.ask(T.lock, u32(fid), Buffer.from([1]), ...what);
    expect([lock.errno, lock.body.readUInt8(0)]).toEqual([0, 0]);
    const asked = [u64(0), u64(0), u32(1), text("guest")];
    const getlock = await client.ask(T.getlock, u32(fid), Buffer.from([1]), ...asked);
    expect([getlock.errno, getlock.body.readUInt8(0)]).toEqual([0, 2]);
    expect((await client.ask(T.fsync, u32(fid), u32(0))).errno).toBe(0);
    expect((await client.ask(T.statfs, u32(0))).body.length).toBe(60);
    expect((await client.ask(T.flush, u16(7))).errno).toBe(0);
    await expect(client.read(0, 0, 1)).rejects.toThrow(`errno ${EBADF}`);
    const directory = await client.walk(0);
    await client.open(directory);
    await expect(client.read(directory, 0, 1)).rejects.toThrow(`errno ${EISDIR}`);
  });

  test("forgets everything at a new version", async () => {
    const fid = await client.walk(0, "file");
    await client.begin(8192);
    expect((await client.clunk(fid)).errno).toBe(EBADF);
    expect(await client.content(0, "file")).toBe("inside\n");
    writeFileSync(path.join(root, "large"), Buffer.alloc(20_000));
    const large = await client.walk(0, "large");
    await client.open(large);
    expect((await client.read(large, 0, 512_000)).length).toBe(8192 - 11);
  });

  test("ends with its guest, and says nothing", async () => {
    client.close();
    expect(await served.end()).toEqual({ code: 0, output: "" });
  });
});

describe("more files than descriptors", () => {
  beforeEach(async () => {
    await served.close();
    const limited = ["prlimit", "--nofile=256:256", "--"];
    served = await ServedDirectory.start(root, base, limited);
    client = served.client;
    await client.begin();
  });

  test("are all known: those that were not used for long are found again by name", async () => {
    const fids: number[] = [];
    for (let index = 0; index < 600; index++) {
      mkdirSync(path.join(root, `d${index}`));
      writeFileSync(path.join(root, `d${index}`, "file"), String(index));
      fids.push(await client.walk(0, `d${index}`, "file"));
    }
    for (const [index, fid] of fids.entries()) {
      expect(await client.open(fid)).toBe(0);
      expect((await client.read(fid, 0, 10)).toString()).toBe(String(index));
      await client.clunk(fid);
    }
  });

  test("are stale if their names mean others meanwhile", async () => {
    const victim = await client.walk(0, "directory", "inner");
    for (let index = 0; index < 400; index++) {
      writeFileSync(path.join(root, `f${index}`), "");
      await client.walk(0, `f${index}`);
    }
    renameSync(path.join(root, "directory"), path.join(root, "moved"));
    mkdirSync(path.join(root, "directory/inner"), { recursive: true });
    expect((await client.ask(T.getattr, u32(victim), u64(0x7ff))).errno).toBe(ESTALE);
    rmSync(path.join(root, "directory"), { recursive: true });
    expect((await client.ask(T.getattr, u32(victim), u64(0x7ff))).errno).toBe(ENOENT);
  });

  test("cannot all be open, and those that are stay open", async () => {
    const open: number[] = [];
    let refused = 0;
    for (let index = 0; index < 300; index++) {
      const fid = await client.walk(0, "file");
      if ((await client.open(fid)) === 0) open.push(fid);
      else refused++;
    }
    expect(refused).toBeGreaterThan(100);
    for (const fid of open) expect((await client.read(fid, 0, 10)).toString()).toBe("inside\n");
  });
});

describe.skipIf(!isRoot)("several file systems below the share", () => {
  test("have qids of their own, also those that come after one another", async () => {
    const paths: bigint[] = [];
    for (let round = 0; round < 3; round++) {
      for (const name of ["a", "b"]) {
        const place = path.join(root, `${name}${round}`);
        mkdirSync(place);
        execFileSync("mount", ["-t", "tmpfs", "none", place]);
        writeFileSync(path.join(place, "same"), `${name}${round}`);
      }
      const directory = await client.walk(0);
      await client.open(directory);
      const listed = await client.list(directory);
      for (const name of ["a", "b"]) {
        const mounted = await client.walk(0, `${name}${round}`);
        const file = await client.walk(mounted, "same");
        expect(listed.get(`${name}${round}`)?.path).toBe((await client.qid(mounted)).path);
        paths.push((await client.qid(mounted)).path, (await client.qid(file)).path);
        expect(await client.content(mounted, "same")).toBe(`${name}${round}`);
        await client.clunk(file);
        await client.clunk(mounted);
        execFileSync("umount", [path.join(root, `${name}${round}`)]);
      }
      await client.clunk(directory);
    }
    expect(new Set(paths).size).toBe(12);
  });

  test("are let go of when they are not used, so that the host can take them away", async () => {
    const place = path.join(root, "mounted");
    mkdirSync(place);
    execFileSync("mount", ["-t", "tmpfs", "none", place]);
    try {
      writeFileSync(path.join(place, "same"), "");
      await client.walk(0, "mounted", "same");
      await expect.poll(() => unmounts(place), { timeout: 20_000, interval: 500 }).toBe(true);
    } finally {
      execFileSync("umount", ["-q", "-l", place], { stdio: "ignore" });
    }
  }, 30_000);
});

const setxattr = koffi
  .load("libc.so.6")
  .func("int lsetxattr(const char *path, const char *name, const char *value, size_t size, int flags)");

function setAttribute(file: string, name: string, value: string): void {
  if (setxattr(file, name, value, value.length, 0) !== 0) throw new Error("lsetxattr(2) failed");
}

function unmounts(place: string): boolean {
  try {
    execFileSync("umount", [place], { stdio: "ignore" });
    execFileSync("mount", ["-t", "tmpfs", "none", place]);
    return true;
  } catch {
    return false;
  }
}
