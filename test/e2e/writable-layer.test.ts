/** Writable layers through the real containerd: their bound, what they give back, and a host whose disk is full. */
import { readdir, readFile, rm, stat, statfs, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { until } from "../../lab/host/until.ts";
import { PodSandboxState } from "../../src/rpc/generated/runtime/v1/cri.ts";
import { type TestContainer, TestNode } from "../support/e2e/node.ts";

const MEBIBYTE = 1024 * 1024;
/** containerd's images and snapshots have this much. */
const ROOT_BYTES = 256 * MEBIBYTE;
const LAYER_BYTES = 64 * MEBIBYTE;
const SLEEP = "exec sleep 1000";

let node: TestNode;

beforeAll(async () => {
  node = await TestNode.start({
    rootBytes: ROOT_BYTES,
    usageSeconds: 1,
    config: { storage: { layer_size: LAYER_BYTES } },
  });
});

afterEach(async () => {
  await rm(filler(), { force: true });
  await node.stopAll();
  expect(await node.leftovers()).toEqual([]);
});

afterAll(() => node.stop());

function filler(): string {
  return join(node.node.containerdRoot, "filler");
}

async function freeBytes(): Promise<number> {
  const { bavail, bsize } = await statfs(node.node.containerdRoot);
  return bavail * bsize;
}

/** What all writable layers take on the host. */
async function layerBytes(): Promise<number> {
  const snapshots = join(node.node.containerdRoot, "io.containerd.snapshotter.v1.overlayfs", "snapshots");
  const names = (await readdir(snapshots, { recursive: true })).filter((name) => name.endsWith(".ext4"));
  const sizes = await Promise.all(
    names.map(async (name) => (await stat(join(snapshots, name))).blocks * 512),
  );
  return sizes.reduce((sum, size) => sum + size, 0);
}

/** As CRI tells it, -1 before containerd's first look; it looks every second here. */
async function usage(container: TestContainer): Promise<number> {
  const [stats] = await node.cri.listContainerStats({ id: container.id });
  return Number(stats?.writableLayer?.usedBytes?.value ?? -1n);
}

async function availableKilobytes(container: TestContainer): Promise<number> {
  return Number((await node.exec(container, "df -k / | tail -1 | awk '{print $4}'")).stdout);
}

describe("a writable layer", () => {
  it("is full at its bound; what is deleted is gone from the guest's df, the host's file and CRI's stats", async () => {
    const pod = await node.runPod();
    const container = await node.startContainer(pod, SLEEP);
    expect(await availableKilobytes(container)).toBeLessThanOrEqual(LAYER_BYTES / 1024);
    expect(await availableKilobytes(container)).toBeGreaterThan(LAYER_BYTES / 1024 - 1024);
    const before = await until("containerd's first look", async () => {
      const bytes = await usage(container);
      return bytes > 0 ? bytes : undefined;
    });
    expect(before).toBeLessThan(4 * MEBIBYTE);

    const filled = await node.exec(container, "dd if=/dev/zero of=/big bs=1M 2>&1; sync");
    expect(filled.stdout).toContain("No space left on device");
    expect(await availableKilobytes(container)).toBe(0);
    const full = await until("the usage of a full layer", async () => {
      const bytes = await usage(container);
      return bytes > LAYER_BYTES - 4 * MEBIBYTE ? bytes : undefined;
    });
    expect(full).toBeLessThan(LAYER_BYTES + 8 * MEBIBYTE);

    await node.exec(container, "rm /big");
    expect(await availableKilobytes(container)).toBeGreaterThan(LAYER_BYTES / 1024 - 1024);
    await until("the host's file", async () => ((await layerBytes()) < before + MEBIBYTE ? true : undefined));
    await until("CRI's stats", async () => ((await usage(container)) < before + MEBIBYTE ? true : undefined));
  });

  it("is bounded by the annotation of its pod, or rather of its container, but never above the node's", async () => {
    const annotated = (size: string) => ({ annotations: { "io.blazar.layer-size": size } });
    const pod = await node.runPod({ config: annotated("16Mi") });
    const [byPod, byContainer, byNode] = [
      await node.startContainer(pod, SLEEP),
      await node.startContainer(pod, SLEEP, annotated("8Mi")),
      await node.startContainer(pod, SLEEP, annotated("1Gi")),
    ];
    const available = [byPod, byContainer, byNode].map(async (each) =>
      Math.round((await availableKilobytes(each)) / 1024),
    );
    expect(await Promise.all(available)).toEqual([16, 8, 64]);
    await expect(node.startContainer(pod, SLEEP, annotated("much"))).rejects.toThrow(/layer-size.*"much"/);
  });
});

describe("a host whose disk is full", () => {
  it("fails the writes of the pod that needs space, says so once, and leaves the others alone", async () => {
    const [pod, other] = [await node.runPod(), await node.runPod()];
    const container = await node.startContainer(pod, SLEEP);
    const neighbour = await node.startContainer(
      other,
      "dd if=/dev/zero of=/own bs=64k count=4 conv=fsync; exec sleep 1000",
    );
    await node.exec(neighbour, "until [ $(wc -c < /own) = 262144 ]; do sleep 0.1; done; sync");
    await writeFile(filler(), Buffer.alloc((await freeBytes()) - 4 * MEBIBYTE));

    const failed = await node.exec(container, "dd if=/dev/urandom of=/big bs=1M count=20 conv=fsync 2>&1");
    expect(failed.stdout).toMatch(/No space left on device|Input\/output error/);
    expect((await node.exec(container, "echo alive")).stdout).toBe("alive\n");
    expect(
      await node.exec(neighbour, "dd if=/dev/urandom of=/own bs=64k count=4 conv=notrunc,fsync 2>/dev/null"),
    ).toMatchObject({ code: 0 });

    const { status, info } = await node.cri.podSandboxStatus(pod.id, true);
    expect(status?.state).toBe(PodSandboxState.SANDBOX_READY);
    const failure = { container: container.id, operation: "write", noSpace: true };
    expect(JSON.parse(info["diskFailures"] ?? "[]")).toMatchObject([failure]);
    expect(info["timeline"]).toContain("the host could not write");
    expect((await node.cri.podSandboxStatus(other.id, true)).info["diskFailures"]).toBeUndefined();
    const told = (await readFile(node.node.blazardLog, "utf8"))
      .split("\n")
      .filter((line) => line.includes("the host could not write"));
    expect(told).toHaveLength(1);
    expect(told[0]).toContain("make space");

    await rm(filler());
    expect(
      await node.exec(
        container,
        "dd if=/dev/urandom of=/again bs=1M count=20 conv=fsync 2>/dev/null && rm /big /again",
      ),
    ).toMatchObject({ code: 0 });
  });
});
