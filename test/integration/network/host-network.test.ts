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

  it("answers at its declared ports, low ones too, on all of the host's addresses, and at no others", async () => {
    const { outside, node } = await start();
    const { guest } = await bench.connect(
      bench.pod("pod", [port(80), port(9100), port(53, "udp"), port(9200, "udp")]),
    );
    for (const number of ["80", "9100", "9300"]) await bench.serve(guest, "serve", "::", number, "guest");
    for (const number of ["53", "9200"]) await bench.serve(guest, "serve-udp", "::", number, "datagram");
    const { v4, v6 } = ADDRESSES.node;
    for (const address of [v4, v6])
      for (const number of ["80", "9100"])
        expect(await bench.try(outside, "get", address, number)).toContain("guest from");
    for (const address of [v4, "127.0.0.1", "::1"])
      expect(await bench.try(node, "get", address, "80")).toContain("guest from");
    for (const address of [v4, v6])
      for (const number of ["53", "9200"])
        expect(await bench.try(outside, "udp", address, number)).toContain("datagram");
    expect(await bench.try(outside, "get", v4, "9300")).toMatch(/refused/i);
    expect(await bench.try(outside, "half", v4, "80", "2000000")).toContain("end 2000000");
    expect(await bench.try(outside, "many", v4, "9100", "50")).toContain("50");
  });

  it("keeps nothing of the host's rights and little memory", async () => {
    await start();
    await bench.connect(bench.pod("pod", [port(80)]));
    const pid = bench.helper("pod") ?? 0;
    const rollup = await (await import("node:fs/promises")).readFile(`/proc/${pid}/smaps_rollup`, "utf8");
    console.log(rollup, await bench.status(pid));
  });
});
