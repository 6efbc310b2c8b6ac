import { afterEach, describe, expect, it } from "vitest";
import { ADDRESSES, HostNetworkBench, type NodeNetwork, port } from "../../support/bench/host-network.ts";

let bench: HostNetworkBench;

async function start(network?: NodeNetwork): Promise<HostNetworkBench> {
  bench = await HostNetworkBench.start(network);
  return bench;
}

afterEach(() => bench.close());

describe("a pod with hostNetwork", () => {
  it("has the host's addresses, and goes out as the host by TCP, UDP and ICMP echo", async () => {
    const { outside } = await start();
    const { guest, network } = await bench.connect(bench.pod("pod"));
    expect(network.links[0]).toMatchObject({
      name: "ens3",
      addresses: [{ address: ADDRESSES.node.v4 }, { address: ADDRESSES.node.v6 }],
    });
    await bench.serve(outside, "serve", "::", "7000", "outside");
    await bench.serve(outside, "serve-udp", "::", "7001", "datagram");
    const { v4, v6 } = ADDRESSES.outside;
    expect(await bench.try(guest, "get", v4, "7000")).toContain(`outside from ${ADDRESSES.node.v4}`);
    expect(await bench.try(guest, "get", v6, "7000")).toContain(`outside from ${ADDRESSES.node.v6}`);
    expect(await bench.try(guest, "udp", v4, "7001")).toContain("datagram");
    expect(await bench.try(guest, "udp", v6, "7001")).toContain("datagram");
    expect(await bench.ping(guest, v4)).toContain("1 packets received");
    expect(await bench.ping(guest, v6)).toContain("1 packets received");
    expect(await bench.try(guest, "get", v4, "7009")).toMatch(/refused/i);
    expect(await bench.try(guest, "half", v4, "7000", "3000000")).toContain("end 3000000");
  });
});
