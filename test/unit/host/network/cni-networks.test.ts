import { describe, expect, it, vi } from "vitest";
import { blazarError } from "../../../../src/contracts/errors.ts";
import type { NetworkChange } from "../../../../src/contracts/network.ts";
import type { PodNetwork } from "../../../../src/contracts/pod-network.ts";
import type { Vm } from "../../../../src/contracts/vm.ts";
import { CniNetworks } from "../../../../src/host/network/cni-networks.ts";
import { NoNetwork } from "../../../../src/host/network/no-network.ts";
import { NodePodNetworks } from "../../../../src/host/network/pod-networks.ts";
import type { TaskRunner } from "../../../../src/host/storage/worker-pool.ts";
import { deferred } from "../../../../src/lib/async.ts";
import type { NetworkLook } from "../../../../src/workers/network/read.ts";
import type { NetworkTasks } from "../../../../src/workers/network/tasks.ts";
import { CapturedLogger } from "../../../support/captured-logger.ts";
import { FakeKeeperHost } from "../../../support/fake-keeper/keeper.ts";

const POD = { id: "pod", netnsPath: "/nowhere/netns/pod" };
const VM = { nics: [{ tap: "nic0", namespace: "/parking" }] } as unknown as Vm;

function network(mtu: number): PodNetwork {
  const link = { name: "eth0", mac: "02:00:00:00:00:01", mtu, addresses: [] };
  return { links: [link], routes: [], neighbours: [] };
}

const there = (mtu: number, beside: readonly string[] = []): NetworkLook => ({
  kind: "there",
  network: network(mtu),
  beside,
});

/** Workers whose looks a test answers. */
function host(looks: () => Promise<NetworkLook> | NetworkLook) {
  const keeper = new FakeKeeperHost();
  const logger = new CapturedLogger();
  const calls: string[] = [];
  const run = async (name: keyof NetworkTasks, input: unknown): Promise<unknown> => {
    calls.push(name === "joinTaps" ? `${name} ${JSON.stringify(input)}` : name);
    if (name === "readNetwork") return network(1500);
    if (name === "joinTaps")
      return { namespace: { device: 1, inode: 2 }, links: [{ name: "eth0", index: 3 }] };
    return name === "lookAgain" ? looks() : undefined;
  };
  const workers = { run } as TaskRunner<NetworkTasks>;
  const networks = new CniNetworks({ workers, keeper: keeper.connect(), logger });
  const looked = () => calls.filter((call) => call === "lookAgain").length;
  return { networks, keeper, logger, calls, looked };
}

describe("a pod that CNI plugins have made a network for", () => {
  it("has each link joined to the NIC of its number, with its MTU", async () => {
    const { networks, calls } = host(() => there(1500));
    await networks.connect(VM, POD, network(1400));
    const joints = [{ link: "eth0", mtu: 1400, nic: VM.nics[0] }];
    expect(calls).toEqual([`joinTaps ${JSON.stringify({ path: POD.netnsPath, joints })}`]);
  });

  it("is followed only while it is joined", async () => {
    const { networks, keeper } = host(() => there(1500));
    networks.watch(POD, network(1500), () => undefined)();
    expect(keeper.networks.size).toBe(0);
    await networks.connect(VM, POD, network(1500));
    const stop = networks.watch(POD, network(1500), () => undefined);
    await vi.waitFor(() => expect(keeper.networks.has("pod")).toBe(true));
    stop();
    expect(keeper.networks.size).toBe(0);
    await networks.disconnect(POD);
    networks.watch(POD, network(1500), () => undefined);
    expect(keeper.networks.size).toBe(0);
  });

  it("is looked at once more for changes that come during a look, however many", async () => {
    let answer = deferred<NetworkLook>();
    const { networks, keeper, looked } = host(() => answer.promise);
    await networks.connect(VM, POD, network(1500));
    const changes: NetworkChange[] = [];
    networks.watch(POD, network(1500), (change) => changes.push(change));
    await vi.waitFor(() => expect(looked()).toBe(1));
    for (let times = 0; times < 5; times++) keeper.changeNetwork(POD.netnsPath);
    const first = answer;
    answer = deferred();
    first.resolve(there(1400));
    await vi.waitFor(() => expect(looked()).toBe(2));
    answer.resolve(there(1400));
    await vi.waitFor(() => expect(changes).toEqual([{ kind: "changed", network: network(1400) }]));
    expect(looked()).toBe(2);
  });

  it("is looked at again when the keeper was out of reach meanwhile", async () => {
    const { networks, keeper, looked } = host(() => there(1500));
    await networks.connect(VM, POD, network(1500));
    networks.watch(POD, network(1500), () => undefined);
    await vi.waitFor(() => expect(looked()).toBe(1));
    keeper.client?.disconnect();
    keeper.client?.reconnect();
    await vi.waitFor(() => expect(looked()).toBe(2));
  });

  it("goes on when it cannot be followed, or a look fails, and says so", async () => {
    let fails = true;
    const refused = blazarError("HostResource", "ask the kernel", "a fault of the test");
    const { networks, keeper, logger, looked } = host(() => {
      if (!fails) return there(1300);
      throw refused;
    });
    keeper.hooks.onWatch = () => {
      throw refused;
    };
    await networks.connect(VM, POD, network(1500));
    const changes: NetworkChange[] = [];
    networks.watch(POD, network(1500), (change) => changes.push(change));
    await vi.waitFor(() => expect(looked()).toBe(1));
    const words = () => logger.lines.map(({ message }) => message);
    await vi.waitFor(() => expect(words()).toContain("the pod's network could not be read again"));
    expect(words()).toContain("changes of the pod's network are not followed");
    expect(changes).toEqual([]);
    fails = false;
  });

  it("says once which links came later", async () => {
    const { networks, keeper, logger, looked } = host(() => there(1500, ["net1"]));
    await networks.connect(VM, POD, network(1500));
    networks.watch(POD, network(1500), () => undefined);
    await vi.waitFor(() => expect(looked()).toBe(1));
    keeper.changeNetwork(POD.netnsPath);
    await vi.waitFor(() => expect(looked()).toBe(2));
    const lines = logger.lines.filter(({ fields }) => JSON.stringify(fields).includes("net1"));
    expect(lines).toHaveLength(1);
  });
});

describe("a node's networks", () => {
  it("are the host's for a pod without a namespace", async () => {
    const { networks } = host(() => there(1500));
    const node = new NodePodNetworks(networks, new NoNetwork());
    const hostPod = { id: "host", netnsPath: "" };
    expect(await node.read(hostPod)).toEqual({ links: [], routes: [], neighbours: [] });
    await node.connect(VM, hostPod, network(1500));
    node.watch(hostPod, network(1500), () => undefined)();
    await node.disconnect(hostPod);
    expect(await node.read(POD)).toEqual(network(1500));
  });
});
