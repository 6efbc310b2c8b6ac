/** Pods' networks through the real containerd and CNI's plugins, in network namespaces of the test's own making. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { until } from "../../lab/host/until.ts";
import { NODE, OUTSIDE } from "../../lab/network/lab-network.ts";
import { NetworkPod, PORTS } from "../../lab/network/network-pod.ts";
import { NetworkRig } from "../../lab/network/rig.ts";
import { podLeftovers } from "../../lab/node/leftovers.ts";
import { PodSandboxState, Protocol } from "../../src/rpc/generated/runtime/v1/cri.ts";
import { blazarProgram, built } from "../support/e2e/program.ts";

const TCP = String(PORTS.tcp);
const STARTS_MS = 180_000;

let rig: NetworkRig;
const pods: NetworkPod[] = [];

beforeAll(async () => {
  const { containerd, busybox } = built();
  if (containerd === null) throw new Error("set-up has no containerd: see its warnings");
  rig = await NetworkRig.start({ program: blazarProgram(), containerd: containerd.bin, busybox });
}, STARTS_MS);

afterAll(() => rig?.stop());

async function start(
  ...args: Parameters<typeof NetworkPod.start> extends [unknown, ...infer Rest] ? Rest : never
) {
  const pod = await NetworkPod.start(rig, ...args);
  pods.push(pod);
  return pod;
}

/** What pods have made in the node's own namespace. */
async function hostLinks(): Promise<string[]> {
  const links = await rig.host.run("ip", "-o", "link");
  return [...links.matchAll(/^\d+: ([^:@]+)/gm)]
    .map(([, name]) => name ?? "")
    .filter((name) => !/^br-/.test(name));
}

describe("pods on a network of CNI's", () => {
  it("have its addresses, serve the host and each other, reach the outside, and leave nothing", async () => {
    const before = await hostLinks();
    const [one, other] = [await start("blazar", "bridge"), await start("blazar", "bridge")];
    const seen = await one.probe("show");
    const { interfaces = [] } = await one.made();
    const mac = interfaces.find(({ sandbox }) => (sandbox ?? "") !== "")?.mac;
    expect(seen).toContain(`link eth0 mac ${mac} mtu 1500 up`);
    expect(seen).toContain(`address ${one.v4}/24 dev eth0`);
    expect(seen).toContain(`address ${one.v6}/64 dev eth0`);
    expect(seen).not.toContain("tentative");
    expect(await rig.probe(rig.host, "get", one.v4, TCP)).toMatch(/^pod from 10\.100\./);
    expect(await rig.probe(rig.host, "get", one.v6, TCP)).toMatch(/^pod from fd64:/);
    expect(await rig.probe(rig.host, "get", one.v4, String(PORTS.refused))).toBe("connect: refused");
    expect(await one.probe("get", other.v4, TCP)).toBe(`pod from ${one.v4}`);
    expect(await one.probe("half", other.v6, TCP, "3000000")).toBe("end 3000000");
    const end = await rig.serve(rig.outside, "serve", "::", "7000", "outside");
    expect(await one.probe("get", OUTSIDE.v4, "7000")).toBe(`outside from ${NODE.v4}`);
    await end();
    for (const pod of [one, other]) await pod.remove();
    await until("the end of the pods' links", async () =>
      JSON.stringify(await hostLinks()) === JSON.stringify(before) ? true : undefined,
    );
    const left = await podLeftovers([one.id, other.id], rig.node);
    expect(left.filter(({ kind }) => kind !== "file")).toEqual([]);
  });

  it("have their ports forwarded, those that only loopback serves as well", async () => {
    const pod = await start("blazar", "ptp");
    for (const [port, word] of [
      [PORTS.tcp, "pod"],
      [PORTS.local4, "local4"],
      [PORTS.local6, "local6"],
    ] as const) {
      const forwarded = await rig.node.cri.portForward(pod.id, port);
      forwarded.write("hello\n");
      expect(await forwarded.line()).toMatch(new RegExp(`^${word} from `));
      forwarded.close();
    }
    const refused = await rig.node.cri.portForward(pod.id, PORTS.refused);
    expect(await refused.line()).toMatch(/^failed: /);
    refused.close();
    expect(await rig.probe(pod.netns, "half", "127.0.0.1", String(PORTS.local4), "500000")).toBe(
      "end 500000",
    );
    await pod.remove();
  });

  it("follow what changes in their namespace, and end when it is gone", async () => {
    const pod = await start("blazar", "ptp");
    await pod.netns.ip("address add 10.102.0.7/32 dev eth0");
    await until("the new address", async () =>
      (await pod.probe("show")).includes("address 10.102.0.7/32 dev eth0") ? true : undefined,
    );
    await pod.netns.ip("link del eth0");
    await until("NOTREADY", async () => {
      const { status } = await rig.node.cri.podSandboxStatus(pod.id);
      return status?.state === PodSandboxState.SANDBOX_NOTREADY ? true : undefined;
    });
    await pod.remove();
  });
});

describe("a hostNetwork pod", () => {
  it("has the host's addresses and way out, and serves the ports that it declares", async () => {
    const portMappings = [{ protocol: Protocol.TCP, hostPort: 9100, containerPort: 9100, hostIp: "" }];
    const pod = await start("blazar", "host", { portMappings });
    expect(await pod.probe("show")).toContain(`address ${NODE.v4}/24`);
    const end = await rig.serve(rig.outside, "serve", "::", "7000", "outside");
    expect(await pod.probe("get", OUTSIDE.v4, "7000")).toBe(`outside from ${NODE.v4}`);
    await end();
    await pod.container("exec netprobe serve :: 9100 declared");
    await until("the declared port", async () =>
      (await rig.probe(rig.outside, "get", NODE.v4, "9100")).startsWith("declared from") ? true : undefined,
    );
    await pod.remove();
  });
});
