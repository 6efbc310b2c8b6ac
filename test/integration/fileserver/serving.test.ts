/** The file server's program against a client of the test's: what it serves, and what it tells of files. */
import { execFileSync } from "node:child_process";
import { linkSync, lstatSync, mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import koffi from "koffi";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type FuseClient, OP, ROOT, text, u32, u64, zeros } from "../../support/fuse/client.ts";
import { ServedDirectory } from "../../support/fuse/server.ts";

const isRoot = process.getuid?.() === 0;
const [EINVAL, EROFS, ENOSYS, ENODATA, ERANGE] = [22, 30, 38, 61, 34];

let base: string;
let root: string;
let served: ServedDirectory;
let client: FuseClient;

beforeEach(async () => {
  base = await mkdtemp(path.join(tmpdir(), "blazar-fuse-"));
  root = path.join(base, "root");
  mkdirSync(path.join(root, "directory/inner"), { recursive: true });
  writeFileSync(path.join(root, "file"), "inside\n");
  await serve();
});
afterEach(async () => {
  await served.close();
  execFileSync("rm", ["-r", base]);
});

async function serve(options: Parameters<typeof ServedDirectory.start>[2] = {}): Promise<void> {
  served = await ServedDirectory.start(root, base, options);
  client = served.client;
  await client.begin();
}

describe("a served directory", () => {
  test("is read: files, links, directories", async () => {
    symlinkSync("/any/where", path.join(root, "link"));
    expect(await client.content(ROOT, "file")).toBe("inside\n");
    const { nodeId } = await client.lookUp(ROOT, "link");
    expect((await client.ask(OP.readlink, nodeId)).body.toString()).toBe("/any/where");
    const names = [".", "..", "directory", "file", "link"];
    expect([...(await client.list(ROOT)).keys()].sort()).toEqual(names);
    expect([...(await client.list(ROOT, 8192, true)).keys()].sort()).toEqual(names);
  });

  test("has names of any bytes, and of 255", async () => {
    const names = [Buffer.from([0xff, 0xfe, 0x41]), Buffer.from("größe"), Buffer.alloc(255, "n")];
    for (const name of names) writeFileSync(Buffer.concat([Buffer.from(`${root}/`), name]), "x");
    for (const name of names) expect(await client.content(ROOT, name)).toBe("x");
    const listed = await client.list(ROOT);
    for (const name of names) expect(listed.has(name.toString("latin1"))).toBe(true);
    await expect(client.lookUp(ROOT, Buffer.alloc(256, "n"))).rejects.toThrow("errno 36");
  });

  test("tells the attributes of each file, and that hard links are one", async () => {
    execFileSync("touch", ["-d", "2001-02-03T04:05:06.123456789Z", path.join(root, "file")]);
    linkSync(path.join(root, "file"), path.join(root, "second"));
    const real = lstatSync(path.join(root, "file"), { bigint: true });
    const found = await client.lookUp(ROOT, "file");
    expect(found).toMatchObject({
      ...{ mode: Number(real.mode), uid: Number(real.uid), gid: Number(real.gid) },
      ...{ links: 2, size: 7, mtimeNs: real.mtimeNs },
    });
    expect(await client.lookUp(ROOT, "second")).toEqual(found);
  });

  test("gives extended attributes, and their names", async () => {
    setAttribute(path.join(root, "file"), "user.color", "red");
    const { nodeId } = await client.lookUp(ROOT, "file");
    const get = (size: number, name: string) =>
      client.ask(OP.getxattr, nodeId, u32(size), zeros(4), text(name));
    expect((await get(64, "user.color")).body.toString()).toBe("red");
    expect((await get(0, "user.color")).body.readUInt32LE(0)).toBe(3);
    expect((await get(2, "user.color")).errno).toBe(ERANGE);
    expect((await get(64, "user.none")).errno).toBe(ENODATA);
    const list = await client.ask(OP.listxattr, nodeId, u32(1024), zeros(4));
    expect(list.body.toString()).toContain("user.color\0");
  });

  test.skipIf(!isRoot)("shows device nodes as what they are", async () => {
    execFileSync("mknod", [path.join(root, "device"), "c", "1", "5"]);
    const { body } = await client.ask(OP.lookup, ROOT, text("device"));
    expect(body.readUInt32LE(40 + 60) & 0o170000).toBe(0o020000);
    expect(body.readUInt32LE(40 + 76)).toBe(0x105);
  });

  test("is listed whole in messages of any size, with the inodes of its files", async () => {
    const names = Array.from({ length: 700 }, (_, index) => `entry-${index}`);
    for (const name of names) writeFileSync(path.join(root, "directory", name), "");
    const { nodeId } = await client.lookUp(ROOT, "directory");
    const { inode } = await client.lookUp(nodeId, "entry-77");
    for (const plus of [false, true]) {
      for (const count of [512, 8192, 500_000]) {
        const listed = await client.list(nodeId, count, plus);
        expect(listed.size).toBe(703);
        expect(listed.get("entry-77")).toBe(inode);
      }
    }
    const short = [u64(0), u64(0), u32(10), zeros(20)];
    expect((await client.ask(OP.readdir, nodeId, ...short)).errno).toBe(EINVAL);
  });

  test("reads a large file in pieces as large as a message", async () => {
    const content = Buffer.alloc(2_300_000, "0123456789");
    writeFileSync(path.join(root, "large"), content);
    const { nodeId } = await client.lookUp(ROOT, "large");
    const pieces: Buffer[] = [];
    for (let at = 0; at < content.length; ) {
      const piece = await client.read(nodeId, 0, at, 4_000_000);
      expect(piece.length).toBeLessThanOrEqual(1_052_672);
      pieces.push(piece);
      at += piece.length;
    }
    expect(Buffer.concat(pieces).equals(content)).toBe(true);
    expect((await client.read(nodeId, 0, content.length, 10)).length).toBe(0);
  });

  test("is not opened or locked if it cannot change, and nothing in it is changed", async () => {
    const { nodeId } = await client.lookUp(ROOT, "file");
    expect(await client.open(nodeId)).toBe(0);
    expect((await client.ask(OP.flush, nodeId, zeros(24))).errno).toBe(ENOSYS);
    expect((await client.ask(OP.statfs, ROOT)).body.length).toBe(80);
    expect((await client.write(nodeId, 0, 0, "x")).errno).toBe(EROFS);
    expect((await client.ask(999, ROOT)).errno).toBe(ENOSYS);
  });

  test("ends with its guest, and says nothing", async () => {
    client.close();
    expect(await served.end()).toEqual({ code: 0, output: "" });
  });
});

describe("more files than descriptors", () => {
  beforeEach(async () => {
    await served.close();
    await serve({ wrapper: ["prlimit", "--nofile=256:256", "--"], writable: true });
  });

  test("are all known: those that were not used for long are found again by name", async () => {
    const nodes: number[] = [];
    for (let index = 0; index < 600; index++) {
      mkdirSync(path.join(root, `d${index}`));
      writeFileSync(path.join(root, `d${index}`, "file"), String(index));
      nodes.push((await client.lookUp(ROOT, `d${index}`, "file")).nodeId);
    }
    for (const [index, nodeId] of nodes.entries()) {
      const handle = await client.open(nodeId);
      expect((await client.read(nodeId, handle, 0, 10)).toString()).toBe(String(index));
      await client.ask(OP.release, nodeId, u64(handle), zeros(16));
    }
  });

  test("are stale if their names mean others meanwhile", async () => {
    const { nodeId } = await client.lookUp(ROOT, "directory", "inner");
    for (let index = 0; index < 400; index++) {
      writeFileSync(path.join(root, `f${index}`), "");
      await client.lookUp(ROOT, `f${index}`);
    }
    renameSync(path.join(root, "directory"), path.join(root, "moved"));
    mkdirSync(path.join(root, "directory/inner"), { recursive: true });
    await expect(client.attributes(nodeId)).rejects.toThrow("errno 116");
    rmSync(path.join(root, "directory"), { recursive: true });
    await expect(client.attributes(nodeId)).rejects.toThrow("errno 116");
    // whoever looks where it is now has it again
    expect((await client.lookUp(ROOT, "moved", "inner")).nodeId).toBe(nodeId);
    expect((await client.attributes(nodeId)).nodeId).toBe(nodeId);
  });

  test("cannot all be open, and those that are stay open", async () => {
    const { nodeId } = await client.lookUp(ROOT, "file");
    const open: number[] = [];
    let refused = 0;
    for (let index = 0; index < 300; index++) {
      await client.open(nodeId).then(
        (handle) => open.push(handle),
        () => refused++,
      );
    }
    expect(refused).toBeGreaterThan(100);
    for (const handle of open) expect((await client.read(nodeId, handle, 0, 10)).toString()).toBe("inside\n");
  });
});

describe("more files than a server remembers", () => {
  beforeEach(async () => {
    await served.close();
    await serve({ writable: true });
  });

  test("give way to each other, but a directory in which somebody may work does not", async () => {
    const volume = path.join(root, "volume");
    mkdirSync(path.join(volume, "work"), { recursive: true });
    execFileSync("sh", ["-c", "seq -f f%.0f 0 39999 | xargs touch"], { cwd: volume });
    const { nodeId: at } = await client.lookUp(ROOT, "volume");
    const work = await client.lookUp(at, "work");
    const first = await client.lookUp(at, "f0");
    const found = await client.askMany(40_000, (index) => client.send(OP.lookup, at, text(`f${index}`)));
    expect(found.filter((errno) => errno !== 0)).toEqual([]);
    await expect(client.attributes(first.nodeId)).rejects.toThrow("errno 116");
    expect((await client.attributes(work.nodeId)).nodeId).toBe(work.nodeId);
    expect((await client.lookUp(at, "f0")).inode).toBe(first.inode);
  }, 60_000);
});

describe.skipIf(!isRoot)("several file systems below the share", () => {
  test("have inodes of their own, also those that come after one another", async () => {
    const inodes: bigint[] = [];
    for (let round = 0; round < 3; round++) {
      for (const name of ["a", "b"]) {
        const place = path.join(root, `${name}${round}`);
        mkdirSync(place);
        execFileSync("mount", ["-t", "tmpfs", "none", place]);
        writeFileSync(path.join(place, "same"), `${name}${round}`);
        const mounted = await client.lookUp(ROOT, `${name}${round}`);
        const file = await client.lookUp(mounted.nodeId, "same");
        inodes.push(mounted.inode, file.inode);
        expect(await client.content(mounted.nodeId, "same")).toBe(`${name}${round}`);
        execFileSync("umount", ["-l", place]);
      }
    }
    expect(new Set(inodes).size).toBe(12);
  });

  test("are let go of when they are not used, so that the host can take them away", async () => {
    const place = path.join(root, "mounted");
    mkdirSync(place);
    execFileSync("mount", ["-t", "tmpfs", "none", place]);
    try {
      writeFileSync(path.join(place, "same"), "");
      expect(await client.content(ROOT, "mounted", "same")).toBe("");
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
