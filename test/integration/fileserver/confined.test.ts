/** The file server as the keeper starts it: in a jail with the share alone, in which later mounts of the host appear. */
import { execFileSync } from "node:child_process";
import { chmodSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { artifacts } from "../../../setup/steps/artifacts.ts";
import type { ProcessIdentity } from "../../../src/contracts/keeper.ts";
import type { ShareKind } from "../../../src/contracts/share-kind.ts";
import { KeeperFileServers } from "../../../src/host/storage/file-servers.ts";
import { RealKeeper } from "../../support/bench/keeper.ts";
import { FuseClient, OP, ROOT, text, u32 } from "../../support/fuse/client.ts";
import { inlineSeccomp } from "../../support/inline-seccomp.ts";

const isRoot = process.getuid?.() === 0;
const USER = { uid: 61_002, gid: 61_002 };

describe.skipIf(!isRoot)("a file server of a VM", () => {
  let base: string;
  let share: string;
  let bench: RealKeeper;
  let servers: KeeperFileServers;
  const mounted: string[] = [];

  beforeEach(async () => {
    base = await mkdtemp(path.join(tmpdir(), "blazar-served-"));
    share = path.join(base, "share");
    mkdirSync(share);
    bench = await RealKeeper.start();
    servers = new KeeperFileServers({
      keeper: bench.keeper,
      binary: artifacts().fileServer,
      seccomp: inlineSeccomp,
    });
  });
  afterEach(async () => {
    await bench.dispose();
    for (const place of [...mounted.splice(0).reverse(), share])
      execFileSync("umount", ["-q", "-l", place], { stdio: "ignore" });
    await rm(base, { recursive: true });
  });

  async function served(
    id: string,
    kind: ShareKind = "layers",
  ): Promise<{ client: FuseClient; identity: ProcessIdentity }> {
    const socket = path.join(base, `${id}.sock`);
    const spec = {
      id,
      kind,
      directory: share,
      changes: true,
      socket,
      user: USER,
      cgroups: [],
    };
    const identity = await servers.start(spec, new AbortController().signal);
    const client = await FuseClient.connect(socket);
    await client.begin();
    return { client, identity };
  }

  function mountWithFile(name: string, text: string): string {
    const place = path.join(share, name);
    mkdirSync(place);
    execFileSync("mount", ["-t", "tmpfs", "none", place]);
    execFileSync("mount", ["--make-private", place]);
    mounted.push(place);
    writeFileSync(path.join(place, "file"), text);
    chmodSync(path.join(place, "file"), 0o600);
    return place;
  }

  test("sees what is mounted later, and what only root may read", async () => {
    const { client } = await served("one");
    mountWithFile("later", "later\n");
    expect(await client.content(ROOT, "later", "file")).toBe("later\n");
    client.close();
    await bench.keeper.exited("one");
  });

  test("sees no more of a mount that the host has taken away", async () => {
    const { client } = await served("one");
    const place = mountWithFile("gone", "gone\n");
    execFileSync("umount", [mounted.pop() ?? place]);
    await expect(client.lookUp(ROOT, "gone", "file")).rejects.toThrow("errno 2");
    client.close();
    await bench.keeper.exited("one");
  });

  test("hides nothing that was mounted for an earlier one", async () => {
    const first = await served("one");
    const place = mountWithFile("early", "early\n");
    first.client.close();
    await bench.keeper.exited("one");
    const { client } = await served("two");
    expect(await client.content(ROOT, "early", "file")).toBe("early\n");
    expect(readFileSync(path.join(place, "file"), "utf8")).toBe("early\n");
    client.close();
    await bench.keeper.exited("two");
  });

  test("has one capability, and its root is the share and nothing else", async () => {
    const { client, identity } = await served("one");
    const status = readFileSync(`/proc/${identity.pid}/status`, "utf8");
    const field = (name: string) => new RegExp(`^${name}:\\s+(.*)$`, "m").exec(status)?.[1];
    // CAP_DAC_READ_SEARCH is number 2
    for (const name of ["CapEff", "CapPrm", "CapBnd"]) expect(BigInt(`0x${field(name)}`)).toBe(4n);
    expect(field("Uid")).toBe("61002\t61002\t61002\t61002");
    expect([field("NoNewPrivs"), field("Seccomp")]).toEqual(["1", "2"]);
    const mounts = readFileSync(`/proc/${identity.pid}/mountinfo`, "utf8");
    expect(mounts.split("\n").flatMap((line) => line.split(" ")[4] ?? [])).toEqual(["/", "/share", "/proc"]);
    client.close();
    await bench.keeper.exited("one");
  });

  test("of volumes changes them for all users, and makes no device", async () => {
    const { client, identity } = await served("one", "volumes");
    const place = mountWithFile("volume", "of root\n");
    const { nodeId } = await client.lookUp(ROOT, "volume");
    client.user = { uid: 1000, gid: 1000, pid: 1 };
    const { file, handle } = await client.create(nodeId, "made", 0o600);
    expect(file).toMatchObject({ uid: 1000, gid: 1000 });
    expect((await client.write(file.nodeId, handle, 0, "written")).errno).toBe(0);
    const node = (mode: number) =>
      client.ask(OP.mknod, nodeId, u32(mode), u32(0), u32(0), u32(0), text("node"));
    expect((await node(0o020600)).errno).toBe(1);
    expect((await node(0o010600)).errno).toBe(0);
    expect((await client.ask(OP.unlink, nodeId, text("file"))).errno).toBe(0);
    expect(readdirSync(place).sort()).toEqual(["made", "node"]);
    const status = readFileSync(`/proc/${identity.pid}/status`, "utf8");
    // CHOWN, DAC_OVERRIDE, DAC_READ_SEARCH, FOWNER, FSETID and SETFCAP
    const mask = [0, 1, 2, 3, 4, 31].reduce((sum, bit) => sum | (1n << BigInt(bit)), 0n);
    expect(BigInt(`0x${/^CapBnd:\s+(.*)$/m.exec(status)?.[1]}`)).toBe(mask);
    client.close();
    await bench.keeper.exited("one");
  });

  test("of volumes cannot change the directory that these are in, which is the host's memory", async () => {
    const { client } = await served("one", "volumes");
    mountWithFile("volume", "of root\n");
    await expect(client.create(ROOT, "made")).rejects.toThrow("errno 30");
    expect((await client.ask(OP.mkdir, ROOT, u32(0o777), u32(0), text("made"))).errno).toBe(30);
    const { nodeId } = await client.lookUp(ROOT, "volume");
    await client.create(nodeId, "made");
    expect(readdirSync(share)).toEqual(["volume"]);
    client.close();
    await bench.keeper.exited("one");
  });

  test("of volumes changes nothing that the host has mounted read-only", async () => {
    const { client } = await served("one", "volumes");
    const place = mountWithFile("volume", "stays\n");
    execFileSync("mount", ["-o", "remount,bind,ro", place]);
    const { nodeId } = await client.lookUp(ROOT, "volume");
    expect(await client.content(nodeId, "file")).toBe("stays\n");
    // the mount that came into the jail before it was made read-only
    execFileSync("umount", ["-l", mounted.pop() ?? place]);
    execFileSync("mount", ["-t", "tmpfs", "-o", "ro", "none", place]);
    mounted.push(place);
    const again = await client.lookUp(ROOT, "volume");
    await expect(client.create(again.nodeId, "made")).rejects.toThrow("errno 30");
    client.close();
    await bench.keeper.exited("one");
  });
});
