/** A file server of a pod with a user namespace, against a client of the test's: whose files are, on both sides. */
import { lchownSync, lstatSync, mkdirSync, writeFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { entry, type FuseClient, OP, ROOT, text, u32, u64, zeros } from "../../support/fuse/client.ts";
import { ServedDirectory } from "../../support/fuse/server.ts";

const isRoot = process.getuid?.() === 0;
const [ENODATA, EOVERFLOW, EOPNOTSUPP] = [61, 75, 95];
const [UID, GID] = [2, 4];
const MAPS = ["--uid-map", "0:200000:1000,2000:300000:10", "--gid-map", "0:400000:65536"];
const ACCESS_LIST = "system.posix_acl_access";

let base: string;
let root: string;
let served: ServedDirectory;
let client: FuseClient;
const on = (name: string): string => path.join(root, name);

beforeEach(async () => {
  base = await mkdtemp(path.join(tmpdir(), "blazar-fuse-"));
  root = path.join(base, "root");
  mkdirSync(root);
  served = await ServedDirectory.start(root, base, { writable: true, options: MAPS });
  client = served.client;
  await client.begin();
});
afterEach(async () => {
  await served.close();
  await rm(base, { recursive: true });
});

function put(name: string, uid: number, gid: number): void {
  writeFileSync(on(name), name);
  lchownSync(on(name), uid, gid);
}

function own(nodeId: number, valid: number, uid: number, gid: number) {
  const owner = [u32(0), u32(0), u32(uid), u32(gid), u32(0)];
  return client.ask(OP.setattr, nodeId, u32(valid), zeros(28), zeros(36), ...owner);
}

/** An access list: the owner, one user, the group, one group, the mask, others. */
function accessList(uid: number, gid: number): Buffer {
  const none = 0xffff_ffff;
  const entries = [
    [1, none],
    [2, uid],
    [4, none],
    [8, gid],
    [16, none],
    [32, none],
  ] as const;
  const parts = entries.map(([tag, id]) => Buffer.concat([u32(tag | (6 << 16)), u32(id)]));
  return Buffer.concat([u32(2), ...parts]);
}

function setxattr(nodeId: number, name: string, value: Buffer) {
  return client.ask(OP.setxattr, nodeId, u32(value.length), u32(0), u32(0), u32(0), text(name), value);
}

function getxattr(nodeId: number, name: string) {
  return client.ask(OP.getxattr, nodeId, u32(1024), u32(0), text(name));
}

describe.runIf(isRoot)("a share whose guest has other ids", () => {
  test("shows the host's owners as they are outside of the user namespace, and others as nobody", async () => {
    put("mapped", 2003, 7);
    put("foreign", 1500, 70_000);
    expect(await client.lookUp(ROOT, "mapped")).toMatchObject({ uid: 300_003, gid: 400_007 });
    expect(await client.lookUp(ROOT, "foreign")).toMatchObject({ uid: 65_534, gid: 65_534 });
    const { body } = await client.ask(OP.getattr, ROOT, u32(0), u32(0), u64(0));
    expect([body.readUInt32LE(16 + 68), body.readUInt32LE(16 + 72)]).toEqual([200_000, 400_000]);
  });

  test("gives what is made to whoever asks, as the host knows them", async () => {
    client.user = { ...client.user, uid: 200_005, gid: 400_006 };
    const { file } = await client.create(ROOT, "file", 0o644, 0);
    expect(file).toMatchObject({ uid: 200_005, gid: 400_006 });
    expect(lstatSync(on("file"))).toMatchObject({ uid: 5, gid: 6 });
    const made = await client.ask(OP.mkdir, ROOT, u32(0o755), u32(0), text("directory"));
    expect(entry(made.body)).toMatchObject({ uid: 200_005, gid: 400_006 });
    expect(lstatSync(on("directory"))).toMatchObject({ uid: 5, gid: 6 });
  });

  test("lets nobody make a file whose owner would be nobody", async () => {
    for (const user of [
      { uid: 0, gid: 400_000 },
      { uid: 200_000, gid: 0 },
      { uid: 65_534, gid: 400_000 },
    ]) {
      client.user = { ...client.user, ...user };
      expect((await client.ask(OP.mkdir, ROOT, u32(0o755), u32(0), text("d"))).errno).toBe(EOVERFLOW);
      expect((await client.ask(OP.symlink, ROOT, text("l"), text("/any/where"))).errno).toBe(EOVERFLOW);
    }
    expect(() => lstatSync(on("d"))).toThrow("ENOENT");
  });

  test("takes new owners as the host knows them, and none that is nobody", async () => {
    put("file", 0, 0);
    const { nodeId } = await client.lookUp(ROOT, "file");
    expect((await own(nodeId, UID | GID, 300_009, 400_001)).errno).toBe(0);
    expect(lstatSync(on("file"))).toMatchObject({ uid: 2009, gid: 1 });
    expect((await own(nodeId, UID, 300_010, 0)).errno).toBe(EOVERFLOW);
    expect((await own(nodeId, GID, 0, 65_534)).errno).toBe(EOVERFLOW);
    expect((await own(nodeId, GID, 0, 400_002)).errno).toBe(0);
    expect(lstatSync(on("file"))).toMatchObject({ uid: 2009, gid: 2 });
  });

  test("maps access lists, and has no capabilities of files", async () => {
    put("file", 0, 0);
    const { nodeId } = await client.lookUp(ROOT, "file");
    expect((await setxattr(nodeId, ACCESS_LIST, accessList(200_010, 400_020))).errno).toBe(0);
    expect((await getxattr(nodeId, ACCESS_LIST)).body).toEqual(accessList(200_010, 400_020));
    const other = await ServedDirectory.start(root, await mkdtemp(path.join(base, "other-")), {});
    await other.client.begin();
    const { nodeId: same } = await other.client.lookUp(ROOT, "file");
    const asked = [u32(1024), u32(0), text(ACCESS_LIST)] as const;
    expect((await other.client.ask(OP.getxattr, same, ...asked)).body).toEqual(accessList(10, 20));
    await other.close();
    expect((await setxattr(nodeId, ACCESS_LIST, accessList(10, 400_020))).errno).toBe(EOVERFLOW);
    const capabilities = Buffer.concat([u32(0x0200_0000), zeros(16)]);
    expect((await setxattr(nodeId, "security.capability", capabilities)).errno).toBe(EOPNOTSUPP);
    expect((await getxattr(nodeId, "security.capability")).errno).toBe(ENODATA);
    expect((await setxattr(nodeId, "user.other", Buffer.from("1"))).errno).toBe(0);
  });
});
