/** The file server as the keeper starts it: in a jail with the share alone, in which later mounts of the host appear. */
import { execFileSync } from "node:child_process";
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { artifacts } from "../../../setup/steps/artifacts.ts";
import type { ProcessIdentity } from "../../../src/contracts/keeper.ts";
import { KeeperFileServers } from "../../../src/host/storage/file-servers.ts";
import { RealKeeper } from "../../support/bench/keeper.ts";
import { NinepClient } from "../../support/ninep/client.ts";

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
    servers = new KeeperFileServers({ keeper: bench.keeper, binary: artifacts().fileServer });
  });
  afterEach(async () => {
    await bench.dispose();
    for (const place of [...mounted.splice(0).reverse(), share])
      execFileSync("umount", ["-q", "-l", place], { stdio: "ignore" });
    await rm(base, { recursive: true });
  });

  async function served(id: string): Promise<{ client: NinepClient; identity: ProcessIdentity }> {
    const socket = path.join(base, `${id}.sock`);
    const spec = {
      id,
      kind: "layers" as const,
      directory: share,
      changes: true,
      socket,
      user: USER,
      cgroups: [],
    };
    const identity = await servers.start(spec, new AbortController().signal);
    const client = await NinepClient.connect(socket);
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
    expect(await client.content(0, "later", "file")).toBe("later\n");
    const up = await client.walk(0, "..", "..");
    expect((await client.qid(up)).path).toBe((await client.qid(0)).path);
    client.close();
    await bench.keeper.exited("one");
  });

  test("sees no more of a mount that the host has taken away", async () => {
    const { client } = await served("one");
    const place = mountWithFile("gone", "gone\n");
    execFileSync("umount", [mounted.pop() ?? place]);
    await expect(client.walk(0, "gone", "file")).rejects.toThrow("errno 2");
    client.close();
    await bench.keeper.exited("one");
  });

  test("hides nothing that was mounted for an earlier one", async () => {
    const first = await served("one");
    const place = mountWithFile("early", "early\n");
    first.client.close();
    await bench.keeper.exited("one");
    const { client } = await served("two");
    expect(await client.content(0, "early", "file")).toBe("early\n");
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
    expect(mounts.split("\n").flatMap((line) => line.split(" ")[4] ?? [])).toEqual(["/", "/share"]);
    client.close();
    await bench.keeper.exited("one");
  });
});
