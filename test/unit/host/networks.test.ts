import { describe, expect, it } from "vitest";
import { HostNetworkOnly } from "../../../src/host/network/host-network-only.ts";

const pod = (netnsPath: string) => ({
  ...{ id: "pod", name: "pod", namespace: "default", netnsPath },
  dns: { servers: [], searches: [], options: [] },
});

describe("a host without pod networks", () => {
  it("takes hostNetwork pods", async () => {
    const network = await new HostNetworkOnly().read(pod(""));
    expect(network.links).toEqual([]);
  });

  it("refuses others before anything is made, and says what to do", async () => {
    const networks = new HostNetworkOnly();
    const reading = networks.read(pod("/run/netns/cni-1"));
    await expect(reading).rejects.toMatchObject({ code: "UnsupportedSpec" });
    await expect(reading).rejects.toThrow(/cni-1.*hostNetwork: true/s);
    await expect(networks.disconnect()).resolves.toBeUndefined();
  });
});
