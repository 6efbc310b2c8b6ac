/** What every PodNetworks does, the one in memory included: reading, joining, following, and taking apart in any state. */
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import type { NetworkChange, NetworkedPod, PodNetworks } from "../../../src/contracts/network.ts";
import type { Vm } from "../../../src/contracts/vm.ts";

/** A pod whose namespace has one link, `eth0`, with the address 10.1.0.2/24; and a VM with one NIC. */
export interface PodNetworksBench {
  readonly networks: PodNetworks;
  /** As a daemon has it that comes after another one was killed. */
  nextDaemon(): PodNetworks;
  readonly pod: NetworkedPod;
  readonly vm: Vm;
  /** Gives the link one more address. */
  addAddress(address: string): Promise<void>;
  removeLink(): Promise<void>;
  removeNamespace(): Promise<void>;
  /** Anything of ours is in the pod's namespace. */
  joined(): Promise<boolean>;
  dispose(): Promise<void>;
}

export function describePodNetworks(make: () => Promise<PodNetworksBench>): void {
  let bench: PodNetworksBench;

  beforeEach(async () => {
    bench = await make();
  });

  afterEach(() => bench.dispose());

  async function connected() {
    const { networks, pod, vm } = bench;
    const network = await networks.read(pod);
    await networks.connect(vm, pod, network);
    return network;
  }

  async function followed() {
    const { networks, pod } = bench;
    const network = await connected();
    const changes: NetworkChange[] = [];
    const stop = networks.watch(pod, network, (change) => changes.push(change));
    return { changes, stop };
  }

  const addressesOf = (change: NetworkChange | undefined): string[] =>
    change?.kind === "changed"
      ? change.network.links.flatMap((link) => link.addresses.map(({ address }) => address))
      : [];

  /** A change that is surely told if anything is. */
  const settled = () => new Promise((resolve) => setTimeout(resolve, 200));

  test("a network is read with its link and address", async () => {
    const network = await bench.networks.read(bench.pod);
    const address = expect.objectContaining({ address: "10.1.0.2", prefix: 24 });
    expect(network.links).toMatchObject([{ name: "eth0", addresses: expect.arrayContaining([address]) }]);
    expect(await bench.joined()).toBe(false);
  });

  test("reading fails for a namespace that is gone, and for a caller that has given up", async () => {
    await expect(bench.networks.read(bench.pod, AbortSignal.abort())).rejects.toMatchObject({
      code: "Cancelled",
    });
    await bench.removeNamespace();
    await expect(bench.networks.read(bench.pod)).rejects.toMatchObject({ code: "HostResource" });
  });

  test("a joined pod is taken apart, once or twice", async () => {
    await connected();
    expect(await bench.joined()).toBe(true);
    await bench.networks.disconnect(bench.pod);
    await bench.networks.disconnect(bench.pod);
    expect(await bench.joined()).toBe(false);
  });

  test("nothing to take apart is success, also without the namespace", async () => {
    await bench.networks.disconnect(bench.pod);
    await connected();
    await bench.removeNamespace();
    await bench.networks.disconnect(bench.pod);
  });

  test("joining fails for a VM with too few NICs, and for a namespace that is gone", async () => {
    const { networks, pod, vm } = bench;
    const network = await networks.read(pod);
    const poor = { ...vm, nics: [] } as Vm;
    await expect(networks.connect(poor, pod, network)).rejects.toMatchObject({ code: "Internal" });
    expect(await bench.joined()).toBe(false);
    await bench.removeNamespace();
    await expect(networks.connect(vm, pod, network)).rejects.toMatchObject({ code: "HostResource" });
  });

  test("a change is told with the whole network, and none after the watch has ended", async () => {
    const { changes, stop } = await followed();
    await settled();
    changes.length = 0;
    await bench.addAddress("10.1.0.3");
    await vi.waitFor(() =>
      expect(addressesOf(changes.at(-1))).toEqual(expect.arrayContaining(["10.1.0.2", "10.1.0.3"])),
    );
    stop();
    const count = changes.length;
    await bench.addAddress("10.1.0.4");
    await settled();
    expect(changes).toHaveLength(count);
  });

  test("a change between reading and watching is told", async () => {
    const network = await connected();
    await bench.addAddress("10.1.0.9");
    const changes: NetworkChange[] = [];
    const stop = bench.networks.watch(bench.pod, network, (change) => changes.push(change));
    await vi.waitFor(() => expect(addressesOf(changes.at(-1))).toContain("10.1.0.9"));
    stop();
  });

  test.each(["removeLink", "removeNamespace"] as const)(
    "a network that is gone is told once: %s",
    async (how) => {
      const { changes } = await followed();
      await settled();
      changes.length = 0;
      await bench[how]();
      await vi.waitFor(() => expect(changes).toMatchObject([{ kind: "gone" }]));
      await settled();
      expect(changes).toHaveLength(1);
    },
  );

  test("a joined pod is taken over by the next daemon: with what has changed, and followed", async () => {
    const { pod } = bench;
    await followed();
    const networks = bench.nextDaemon();
    await bench.addAddress("10.1.0.3");
    const network = await networks.adopt(pod, pod.id, []);
    expect(addressesOf({ kind: "changed", network })).toEqual(
      expect.arrayContaining(["10.1.0.2", "10.1.0.3"]),
    );
    const changes: NetworkChange[] = [];
    networks.watch(pod, network, (change) => changes.push(change));
    await settled();
    expect(changes).toEqual([]);
    await bench.addAddress("10.1.0.4");
    await vi.waitFor(() => expect(addressesOf(changes.at(-1))).toContain("10.1.0.4"));
    await bench.removeLink();
    await vi.waitFor(() => expect(changes.at(-1)).toMatchObject({ kind: "gone" }));
    await networks.disconnect(pod);
    expect(await bench.joined()).toBe(false);
  });

  test.each(["removeLink", "removeNamespace"] as const)(
    "a network that has gone before it was taken over is lost: %s",
    async (how) => {
      const { pod } = bench;
      await followed();
      const networks = bench.nextDaemon();
      await bench[how]();
      await expect(networks.adopt(pod, pod.id, [])).rejects.toMatchObject({ code: "NetworkLost" });
      await networks.disconnect(pod);
    },
  );

  test("a network that has gone between joining and watching is told", async () => {
    const network = await connected();
    await bench.removeNamespace();
    const changes: NetworkChange[] = [];
    bench.networks.watch(bench.pod, network, (change) => changes.push(change));
    await vi.waitFor(() => expect(changes).toMatchObject([{ kind: "gone" }]));
  });
}
