import { describe, expect, it } from "vitest";
import { HostNetworkOnly } from "../../../src/host/network/host-network-only.ts";

describe("a host without pod networks", () => {
  it("takes hostNetwork pods", () => {
    expect(() => new HostNetworkOnly().admit({ id: "pod", netnsPath: "" })).not.toThrow();
  });

  it("refuses others before anything is made, and says what to do", async () => {
    const pod = { id: "pod", netnsPath: "/run/netns/cni-1" };
    const networks = new HostNetworkOnly();
    expect(() => networks.admit(pod)).toThrow(/cni-1.*hostNetwork: true/s);
    await expect(networks.connect(undefined, pod)).rejects.toMatchObject({ code: "UnsupportedSpec" });
    await expect(networks.disconnect()).resolves.toBeUndefined();
  });
});
