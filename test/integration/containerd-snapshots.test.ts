/** The client of containerd's images and snapshots against a real containerd, which is restarted and collects its garbage. */
import { access, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { until } from "../../lab/host/until.ts";
import { PrivateContainerd } from "../../lab/node/private-containerd.ts";
import { ImagesAhead } from "../../src/actors/images/images-ahead.actor.ts";
import { Pace } from "../../src/actors/supply/pace.ts";
import { DEFAULT_DEADLINES } from "../../src/contracts/deadlines.ts";
import type { LayerImage } from "../../src/contracts/images.ts";
import type { OpenChain, SnapshotChange } from "../../src/contracts/snapshots.ts";
import { readSnapshot } from "../../src/host/storage/snapshot.ts";
import { ContainerdSnapshots, type SnapshotsOptions } from "../../src/rpc/containerd/snapshots.ts";
import { CapturedLogger } from "../support/captured-logger.ts";
import { built } from "../support/e2e/program.ts";

const NAME = "localhost/blazar/layers:latest";
const LAYERS = 3;
const SNAPSHOTTER = "overlayfs";
const isRoot = process.getuid?.() === 0;

let directory: string;
let containerd: PrivateContainerd;
let nextId = 0;
const clients: ContainerdSnapshots[] = [];

/** A file a layer, so that each layer can be told. */
function layered(name: string, layers = LAYERS) {
  const files = Array.from({ length: layers }, (_, layer) => [
    { path: `layer-${layer}`, content: `${name} ${layer}` },
  ]);
  return { name, layers: files, process: { Cmd: ["/none"] } };
}

function client(options: Partial<SnapshotsOptions> = {}) {
  const logger = new CapturedLogger();
  const snapshots = new ContainerdSnapshots({
    socket: containerd.socket,
    namespace: "k8s.io",
    deadlines: DEFAULT_DEADLINES,
    expiryMs: 3_600_000,
    logger,
    now: Date.now,
    randomHex: () => `test${process.pid}${nextId++}`,
    ...options,
  });
  clients.push(snapshots);
  return { snapshots, logger };
}

function lowerOf({ mounts }: Pick<OpenChain, "mounts">): readonly string[] {
  const snapshot = readSnapshot(mounts);
  if (snapshot.kind !== "layers") throw new Error("overlayfs gives layers");
  expect(snapshot.readonly).toBe(true);
  return snapshot.lower;
}

/** What is there of ours: ids of leases, keys of snapshots. */
async function ours(): Promise<string[]> {
  const lines = [await containerd.ctr("leases", "ls", "-q"), await containerd.ctr("snapshots", "ls")].join(
    "\n",
  );
  return lines.split(/\s+/).filter((word) => word.startsWith("blazar-image-"));
}

/** Has containerd collect its garbage now. */
async function collectGarbage(): Promise<void> {
  await containerd.ctr("leases", "create", "--id", "for-the-garbage", "--expires", "1h");
  await containerd.ctr("leases", "delete", "--sync", "for-the-garbage");
}

/** Waits until it is so. */
async function holds(what: string, isSo: () => Promise<boolean>): Promise<void> {
  await until(what, async () => ((await isSo()) ? true : undefined), { timeoutMs: 30_000 });
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

describe.runIf(isRoot)("containerd's snapshots", () => {
  beforeAll(async () => {
    const programs = built().containerd;
    if (programs === null) throw new Error("set-up has no containerd: see its warnings");
    directory = await mkdtemp(join(tmpdir(), "blazar-"));
    containerd = await PrivateContainerd.start({
      binaries: programs.bin,
      directory: join(directory, "c"),
      shimDirectory: "deploy",
    });
    await containerd.importImage(layered(NAME));
  });

  afterAll(async () => {
    for (const each of clients) each.close();
    await containerd?.stop();
    await rm(directory, { recursive: true, force: true });
  });

  it("has one chain for an image of several layers, with all of them in it", async () => {
    const { snapshots } = client();
    const chain = await snapshots.ofImage(NAME, SNAPSHOTTER);
    const listed = (await snapshots.list(SNAPSHOTTER)).filter(({ name }) => name === chain.name);
    expect(listed).toHaveLength(1);
    expect(Date.now() - (listed[0]?.unpackedAt.getTime() ?? 0)).toBeLessThan(60_000);
    const open = await snapshots.open(chain);
    const lower = lowerOf(open);
    expect(lower).toHaveLength(LAYERS);
    // the topmost first
    for (const [place, directory] of lower.entries())
      expect(await exists(join(directory, `layer-${LAYERS - 1 - place}`))).toBe(true);
    expect(new Set(await ours()).size).toBe(1);
    await open.release();
    await open.release();
    expect(await ours()).toEqual([]);
  });

  it("names the layer of an image of one layer as a container's snapshot does", async () => {
    const name = "localhost/blazar/one:latest";
    await containerd.importImage(layered(name, 1));
    const { snapshots } = client();
    const chain = await snapshots.ofImage(name, SNAPSHOTTER);
    const open = await snapshots.open(chain);
    const container = await containerd.ctr("snapshots", "prepare", "--mounts", "container-one", chain.name);
    expect(lowerOf(open)).toHaveLength(1);
    expect(container).toContain(`lowerdir=${lowerOf(open)[0]}`);
    await containerd.ctr("snapshots", "rm", "container-one");
    await open.release();
  });

  it("refuses what is not there by name", async () => {
    const { snapshots } = client();
    await expect(snapshots.ofImage("localhost/none:latest", SNAPSHOTTER)).rejects.toMatchObject({
      code: "RemoteNotFound",
      details: { subject: "localhost/none:latest" },
    });
    await expect(snapshots.ofImage(NAME, "native")).rejects.toMatchObject({
      code: "RemoteFailedPrecondition",
    });
    const gone = { snapshotter: SNAPSHOTTER, name: `sha256:${"0".repeat(64)}` };
    await expect(snapshots.open(gone)).rejects.toMatchObject({ code: "RemoteNotFound" });
    expect(await ours()).toEqual([]);
  });

  it("keeps the layers of an open chain from containerd's collection of garbage, and lets them go afterwards", async () => {
    const name = "localhost/blazar/removed:latest";
    await containerd.importImage(layered(name));
    const { snapshots } = client();
    const chain = await snapshots.ofImage(name, SNAPSHOTTER);
    const open = await snapshots.open(chain);
    const lower = lowerOf(open);
    await containerd.cri.removeImage(name);
    await collectGarbage();
    for (const directory of lower) expect(await exists(directory)).toBe(true);
    // it is no image's any more
    expect((await snapshots.list(SNAPSHOTTER)).map((each) => each.name)).not.toContain(chain.name);
    await open.release();
    await collectGarbage();
    await holds("the layers to go", async () => !(await exists(lower[0] ?? "")));
  });

  it("drops the view of a process that never gave it back, once its lease has expired", async () => {
    const { snapshots } = client({ expiryMs: 1_000 });
    await snapshots.open(await snapshots.ofImage(NAME, SNAPSHOTTER));
    expect(await ours()).not.toEqual([]);
    const gone = async () => {
      await collectGarbage();
      return (await ours()).length === 0;
    };
    await holds("the view to expire", gone);
  });

  it("takes back what an ended process held, and no lease of anybody else", async () => {
    const { snapshots } = client();
    const lease = (id: string, ...labels: string[]) =>
      containerd.ctr("leases", "create", "--id", id, "--expires", "1h", ...labels);
    await lease("somebody");
    await lease("blazar-image-ended", "io.blazar.owner=2147483647.1", "io.blazar.snapshotter=overlayfs");
    const open = await snapshots.open(await snapshots.ofImage(NAME, SNAPSHOTTER));
    const { snapshots: another } = client();
    await another.tidy();
    await snapshots.tidy();
    expect(new Set(await ours()).size).toBe(1);
    await open.release();
    expect(await ours()).toEqual([]);
    expect(await containerd.ctr("leases", "ls", "-q")).toContain("somebody");
    await containerd.ctr("leases", "delete", "somebody");
  });

  it("goes on after a restart of containerd, and gives back what it could not before", async () => {
    const { snapshots, logger } = client();
    const changes: SnapshotChange[] = [];
    const subscription = snapshots.changes.subscribe({
      next: (change) => changes.push(change),
      error: () => undefined,
      complete: () => undefined,
    });
    const connections = () => changes.filter((change) => change === "connected").length;
    await holds("the connection", async () => connections() === 1);
    const open = await snapshots.open(await snapshots.ofImage(NAME, SNAPSHOTTER));
    const restarting = containerd.restart({ kill: true });
    // whether containerd is down yet or up already, this must not throw
    await open.release();
    await restarting;
    await holds("the connection", async () => connections() === 2);
    await snapshots.tidy();
    expect(await ours()).toEqual([]);
    changes.length = 0;
    await containerd.importImage(layered("localhost/blazar/after:latest"));
    await holds("the changes", async () => changes.includes("image"));
    expect(changes.filter((change) => change === "layer")).toHaveLength(LAYERS);
    subscription.unsubscribe();
    expect(logger.lines.filter(({ level }) => level === "warn")).toEqual([]);
  });

  it("has an image made of what is imported, once, of its top alone", async () => {
    const { snapshots, logger } = client();
    const made: (readonly string[])[] = [];
    const prepare = async (lower: readonly string[]): Promise<LayerImage> => {
      made.push(lower);
      const times = { createdAt: new Date(), lastUsedAt: new Date() };
      return { key: "k", path: "/images/k", bytes: 1, lower, holders: [], ...times };
    };
    const readLower = (mounts: OpenChain["mounts"]) => lowerOf({ mounts });
    const pace = new Pace(1, Date.now);
    const ports = { snapshots, images: { prepare }, readLower, pace, logger, now: Date.now };
    const ahead = new ImagesAhead({ ...ports, deadlines: DEFAULT_DEADLINES }, { existing: 0 });
    ahead.start();
    try {
      await containerd.importImage(layered("localhost/blazar/ahead:latest"));
      await holds("the image", async () => made.length > 0);
      await holds("the view to go", async () => (await ours()).length === 0);
    } finally {
      await ahead.close();
    }
    expect(made.map((lower) => lower.length)).toEqual([LAYERS]);
    expect(await ours()).toEqual([]);
  });

  it("tells that a containerd refuses its events, and does not count as connected", async () => {
    const { snapshots, logger } = client({ namespace: "not a namespace" });
    const connected: SnapshotChange[] = [];
    const observer = {
      next: (change: SnapshotChange) => connected.push(change),
      error: () => undefined,
      complete: () => undefined,
    };
    const warnings = () => logger.lines.filter(({ level }) => level === "warn");
    const subscription = snapshots.changes.subscribe(observer);
    await holds("the refusal", async () => warnings().length > 0);
    subscription.unsubscribe();
    expect(connected).toEqual([]);
  });
});
