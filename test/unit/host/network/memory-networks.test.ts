/** The fake networks of pods do what the real ones do. */
import { describe } from "vitest";
import type { PodAddress, PodNetwork } from "../../../../src/contracts/pod-network.ts";
import type { Vm } from "../../../../src/contracts/vm.ts";
import { describePodNetworks } from "../../../support/conformance/pod-networks.ts";
import { MemoryNetworks } from "../../../support/memory-host/networks.ts";

const PATH = "/run/netns/pod";

function network(addresses: readonly PodAddress[]): PodNetwork {
  const link = { name: "eth0", mac: "02:00:00:00:00:01", mtu: 1500, addresses: [...addresses] };
  return { links: [link], routes: [], neighbours: [] };
}

describe("networks in memory", () => {
  describePodNetworks(async () => {
    const networks = new MemoryNetworks();
    const addresses = [{ address: "10.1.0.2", prefix: 24, scope: 0 }];
    networks.put(PATH, network(addresses));
    return {
      networks,
      nextDaemon: () => {
        networks.daemonDies();
        return networks;
      },
      pod: { id: "pod", netnsPath: PATH },
      vm: { nics: [{ tap: "nic0", namespace: "/parking" }] } as unknown as Vm,
      addAddress: async (address) => {
        addresses.push({ address, prefix: 24, scope: 0 });
        networks.put(PATH, network(addresses));
      },
      removeLink: async () => networks.put(PATH, { links: [], routes: [], neighbours: [] }),
      removeNamespace: async () => networks.remove(PATH),
      joined: async () => networks.joined.size > 0,
      dispose: async () => undefined,
    };
  });
});
