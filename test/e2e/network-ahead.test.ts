/** Warm VMs that have the host's network ahead, through the real containerd: for pods with hostNetwork, and for others. */
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { until } from "../../lab/host/until.ts";
import { NODE, OUTSIDE } from "../../lab/network/lab-network.ts";
import { NetworkPod } from "../../lab/network/network-pod.ts";
import { NetworkRig } from "../../lab/network/rig.ts";
import { Protocol } from "../../src/rpc/generated/runtime/v1/cri.ts";
import { blazarProgram, built } from "../support/e2e/program.ts";

const STARTS_MS = 180_000;
const PATIENCE = { timeoutMs: 60_000, pollMs: 100 };

let rig: NetworkRig;

beforeAll(async () => {
  const { containerd, busybox } = built();
  if (containerd === null) throw new Error("set-up has no containerd: see its warnings");
  const config = { pool: { min: 1, max: 1 }, template: { enabled: true } };
  rig = await NetworkRig.start({ program: blazarProgram(), containerd: containerd.bin, busybox, config });
  const end = await rig.serve(rig.outside, "serve", "::", "7000", "outside");
  afterAll(end);
  // from now on pods with hostNetwork are expected
  const first = await NetworkPod.start(rig, "blazar", "host");
  await first.remove();
}, STARTS_MS);

afterAll(() => rig?.stop());

async function uplinks(): Promise<string[]> {
  return readdir(join(rig.node.stateDirectory, "uplinks")).catch(() => []);
}

/** Resolves with the id of the one warm VM, which has the host's network. */
function warm(): Promise<string> {
  return until(
    "a warm VM with the host's network",
    async () => {
      const { pool } = (await rig.node.metrics()).parts as { readonly pool: { readonly size: number } };
      return pool.size === 1 ? (await uplinks()).find((name) => name.startsWith("pool-")) : undefined;
    },
    PATIENCE,
  );
}

async function vmOf(pod: NetworkPod): Promise<string | undefined> {
  return (await rig.node.cri.podSandboxStatus(pod.id, true)).info["vm"];
}

async function gone(uplink: string): Promise<void> {
  await until("the end of an uplink", async () => ((await uplinks()).includes(uplink) ? undefined : true));
}

describe("a warm VM with the host's network", () => {
  it("is a hostNetwork pod's at once", async () => {
    const vm = await warm();
    const pod = await NetworkPod.start(rig, "blazar", "host");
    expect(await vmOf(pod)).toBe(vm);
    expect(await pod.probe("show")).toContain(`address ${NODE.v4}/24`);
    expect(await pod.probe("get", OUTSIDE.v4, "7000")).toContain(`outside from ${NODE.v4}`);
    expect(await pod.probe("get", OUTSIDE.v6, "7000")).toContain(`outside from ${NODE.v6}`);
    await pod.remove();
    await gone(vm);
  });

  it("gets the ports that its pod declares", async () => {
    const vm = await warm();
    const mapping = { protocol: Protocol.TCP, hostPort: 80, containerPort: 80, hostIp: "" };
    const pod = await NetworkPod.start(rig, "blazar", "host", { portMappings: [mapping] });
    expect(await vmOf(pod)).toBe(vm);
    await pod.container("exec netprobe serve :: 80 declared");
    await until("an answer", async () =>
      (await rig.probe(rig.outside, "get", NODE.v4, "80")).includes("declared") ? true : undefined,
    );
    await pod.remove();
    await gone(vm);
  });

  it("leaves it for a pod on CNI's network, which has that one and nothing else", async () => {
    const vm = await warm();
    const pod = await NetworkPod.start(rig, "blazar", "bridge");
    expect(await vmOf(pod)).toBe(vm);
    await gone(vm);
    const seen = await pod.probe("show");
    expect(seen).toContain(`address ${pod.v4}/24 dev eth0`);
    expect(seen).not.toContain(NODE.v4);
    expect(seen).not.toContain(NODE.v6);
    expect(await pod.probe("get", OUTSIDE.v4, "7000")).toContain("outside from");
    await pod.remove();
  });
});
