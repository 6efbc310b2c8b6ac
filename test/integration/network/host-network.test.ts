import { readdir, readFile, readlink } from "node:fs/promises";
import { afterEach, describe, expect, it, vi } from "vitest";
import { FORWARDED_RESOLVER, HOST_ITSELF } from "../../../src/contracts/host-networks.ts";
import { ADDRESSES, HostNetworkBench, type NodeNetwork, port } from "../../support/bench/host-network.ts";
import type { TestNamespace } from "../../support/network/namespaces.ts";

const NOTHING = { processes: [], directories: [], users: 0 };

let bench: HostNetworkBench;

async function start(network?: NodeNetwork): Promise<HostNetworkBench> {
  bench = await HostNetworkBench.start(network);
  return bench;
}

afterEach(() => bench.close());

/** How often TCP in a namespace has waited for an answer in vain: `TcpExt` of /proc/net/netstat. */
function timeouts(namespace: TestNamespace): number {
  const [names = "", values = ""] = namespace.run("grep", ["TcpExt", "/proc/self/net/netstat"]).split("\n");
  return Number(values.split(" ")[names.split(" ").indexOf("TCPTimeouts")]);
}

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
  });

  it.each([
    ["to another machine", () => ({ server: bench.outside, at: ADDRESSES.outside.v4 })],
    ["to the host itself", () => ({ server: bench.node, at: HOST_ITSELF.v4 })],
  ])("sends much data %s without waiting for timeouts", async (_, to) => {
    await start();
    const { server, at } = to();
    const { guest } = await bench.connect(bench.pod("pod"));
    await bench.serve(server, "serve", "::", "7000", "much");
    const bytes = String(200_000_000);
    expect(await bench.try(guest, "half", at, "7000", bytes)).toContain(`end ${bytes}`);
    // a busy machine loses a few segments; where pasta stalls, nearly every window ends in a timeout
    expect(timeouts(guest)).toBeLessThan(20);
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
    for (const address of [v4, v6, "127.0.0.1", "::1"])
      expect(await bench.try(node, "get", address, "80")).toContain("guest from");
    for (const address of [v4, v6])
      for (const number of ["53", "9200"])
        expect(await bench.try(outside, "udp", address, number)).toContain("datagram");
    expect(await bench.try(outside, "get", v4, "9300")).toMatch(/refused/i);
    expect(await bench.try(outside, "half", v4, "80", "2000000")).toContain("end 2000000");
    expect(await bench.try(outside, "many", v4, "9100", "50")).toContain("50");
  });

  it("keeps no right over the host, no socket but the internet's, and little memory", async () => {
    const { keeper } = await start();
    await bench.connect(bench.pod("pod", [port(80)]));
    const pid = bench.helper("pod") ?? 0;
    const status = await vi.waitFor(async () => {
      const text = await bench.status(pid);
      expect(text).toMatch(/^Seccomp_filters:\t2$/m);
      return text;
    });
    expect(status).toMatch(/^Uid:\t62000\t/m);
    expect(status).toMatch(/^NoNewPrivs:\t1$/m);
    // its capabilities count in its uplink's user namespace only, which is not the keeper's
    expect(await readlink(`/proc/${pid}/ns/user`)).not.toBe(await readlink(`/proc/${keeper.pid}/ns/user`));
    expect(await readlink(`/proc/${pid}/ns/net`)).toBe(await readlink(`/proc/${keeper.pid}/ns/net`));
    for (const namespace of ["mnt", "pid", "ipc", "uts"])
      expect(await readlink(`/proc/${pid}/ns/${namespace}`)).not.toBe(
        await readlink(`/proc/self/ns/${namespace}`),
      );
    expect(await readdir(`/proc/${pid}/root`)).toEqual([]);
    const rollup = await readFile(`/proc/${pid}/smaps_rollup`, "utf8");
    expect(Number(/^Anonymous:\s+(\d+)/m.exec(rollup)?.[1])).toBeLessThan(4096);
  });

  it("does not reach the host's loopback, whatever frames it makes; the host itself has an address of its own", async () => {
    const { node } = await start();
    const { guest } = await bench.connect(bench.pod("pod"));
    await bench.serve(node, "serve", "127.0.0.1", "7003", "loopback");
    await bench.serve(node, "serve", ADDRESSES.node.v4, "7004", "host");
    await bench.serve(node, "serve", ADDRESSES.node.v6, "7006", "host");
    const { v4 } = ADDRESSES.outside;
    expect(await bench.try(guest, "get", v4, "7003")).not.toContain("loopback");
    expect(await bench.try(guest, "get", HOST_ITSELF.v4, "7003")).not.toContain("loopback");
    expect(await bench.try(guest, "get", HOST_ITSELF.v4, "7004")).toContain("host from");
    expect(await bench.try(guest, "get", HOST_ITSELF.v6, "7006")).toContain("host from");
    // a guest that may do as it likes sends to 127.0.0.1 by its link
    guest.ip("addr del 127.0.0.1/8 dev lo");
    guest.ip("route flush table local dev lo");
    guest.ip("link set lo down");
    for (const scope of ["all", "ens3"])
      guest.run("sysctl", ["-qw", `net.ipv4.conf.${scope}.route_localnet=1`]);
    guest.ip(`route add 127.0.0.1/32 via ${v4} dev ens3 onlink src ${ADDRESSES.node.v4}`);
    expect(await bench.tryInVain(guest, "get", "127.0.0.1", "7003")).not.toContain("loopback");
  });

  it("asks a resolver on the host's loopback at an address of its own", async () => {
    const { node } = await start({ resolvConf: "nameserver 127.0.0.53\n" });
    const { guest } = await bench.connect(bench.pod("pod"));
    await bench.serve(node, "serve-udp", "127.0.0.53", "53", "resolver");
    await bench.serve(node, "serve", "127.0.0.53", "53", "stream");
    expect(await bench.try(guest, "udp", FORWARDED_RESOLVER, "53")).toContain("resolver");
    expect(await bench.try(guest, "get", FORWARDED_RESOLVER, "53")).toContain("stream from");
  });
});

describe("ports of the host", () => {
  it("belong to one pod: the second is told the port and the first pod, and gets it afterwards", async () => {
    await start();
    const [first, second] = [bench.pod("first", [port(9100)]), bench.pod("second", [port(9100)])];
    await bench.connect(first);
    await expect(bench.networks.read(second)).rejects.toMatchObject({
      code: "PortInUse",
      message: expect.stringMatching(/9100\/tcp.*default\/first/),
    });
    await bench.networks.disconnect(first);
    await bench.connect(second);
    expect(await bench.try(bench.outside, "get", ADDRESSES.node.v4, "9100")).not.toMatch(/timed out/i);
  });

  it("may be taken by a process of the host: the pod fails with the port's number, and nothing is left", async () => {
    const { node } = await start();
    await bench.serve(node, "serve", "::", "9100", "host");
    const taken = bench.connect(bench.pod("pod", [port(9100)]));
    await expect(taken).rejects.toMatchObject({
      code: "PortInUse",
      message: expect.stringMatching(/9100\/tcp.*the host itself.*in use/),
    });
    expect(await bench.left()).toEqual(NOTHING);
  });

  it("may be of an address that the host does not have: the pod fails with the port's number and that reason", async () => {
    await start();
    const foreign = bench.connect(bench.pod("pod", [{ ...port(9100), hostIp: "10.1.2.3" }]));
    await expect(foreign).rejects.toMatchObject({
      code: "InvalidSpec",
      message: expect.stringMatching(/9100\/tcp: the host does not have its hostIP/),
    });
    expect(await bench.left()).toEqual(NOTHING);
  });

  it("are refused for SCTP by name", async () => {
    await start();
    await expect(bench.networks.read(bench.pod("pod", [port(132, "sctp")]))).rejects.toMatchObject({
      code: "UnsupportedSpec",
      message: expect.stringMatching(/132.*SCTP/),
    });
  });

  it.each(["v4", "v6"] as const)("can be of one address of the host: %s", async (family) => {
    const { node, outside } = await start();
    const { guest } = await bench.connect(bench.pod("pod", [port(9100, "tcp", ADDRESSES.node[family])]));
    await bench.serve(guest, "serve", "::", "9100", "guest");
    expect(await bench.try(outside, "get", ADDRESSES.node[family], "9100")).toContain("guest from");
    for (const address of ["127.0.0.1", "::1"])
      expect(await bench.try(node, "get", address, "9100")).toMatch(/refused/i);
  });
});

describe("hosts of other kinds", () => {
  it.each([
    ["only IPv4", { v6: false }, "v4", "v6"],
    ["only IPv6", { v4: false }, "v6", "v4"],
  ] as const)("%s", async (_, network, family, other) => {
    const { outside } = await start(network);
    const { guest, network: plan } = await bench.connect(bench.pod("pod", [port(9100)]));
    expect(plan.links[0]?.addresses.map(({ address }) => address)).toEqual([ADDRESSES.node[family]]);
    await bench.serve(outside, "serve", "::", "7000", "outside");
    await bench.serve(guest, "serve", "::", "9100", "guest");
    expect(await bench.try(guest, "get", ADDRESSES.outside[family], "7000")).toContain("outside from");
    expect(await bench.try(outside, "get", ADDRESSES.node[family], "9100")).toContain("guest from");
    expect(await bench.try(guest, "get", ADDRESSES.outside[other], "7000")).not.toContain("outside");
  });

  it("without a default route: the neighbours are reached, and it is told once", async () => {
    const { outside, node } = await start({ defaultRoute: false });
    const { guest } = await bench.connect(bench.pod("pod", [port(9100)]));
    await bench.networks.read(bench.pod("another"));
    await bench.serve(outside, "serve", "::", "7000", "outside");
    await bench.serve(guest, "serve", "::", "9100", "guest");
    for (const address of [ADDRESSES.outside.v4, ADDRESSES.outside.v6])
      expect(await bench.try(guest, "get", address, "7000")).toContain("outside from");
    for (const address of [ADDRESSES.node.v4, ADDRESSES.node.v6]) {
      expect(await bench.try(outside, "get", address, "9100")).toContain("guest from");
      expect(await bench.try(node, "get", address, "9100")).toContain("guest from");
    }
    expect(bench.log.lines.filter(({ message }) => /no default route/.test(message))).toHaveLength(1);
  });

  it("that lets no group ping: pods start, their ICMP echo is not answered, and it is told once", async () => {
    const { log } = await start({ pingGroups: "1 0" });
    const { guest } = await bench.connect(bench.pod("one"));
    await bench.connect(bench.pod("two"));
    expect(await bench.ping(guest, ADDRESSES.outside.v4)).toContain("0 packets received");
    const told = log.lines.filter(({ message }) => message.includes("ping_group_range"));
    expect(told).toMatchObject([{ level: "warn" }]);
  });

  it("without any address: the pod starts without a network", async () => {
    await start({ v4: false, v6: false });
    expect((await bench.networks.read(bench.pod("pod"))).links).toEqual([]);
  });

  it("with more addresses: one of each family is the guest's, and the others are told", async () => {
    const { node } = await start();
    node.ip("link add docker0 type veth peer name docker1");
    node.ip("addr add 172.17.0.1/16 dev docker0");
    node.ip("addr add 10.91.0.77/24 dev ens3");
    for (const link of ["docker0", "docker1"]) node.ip(`link set ${link} up`);
    const { guest, network } = await bench.connect(bench.pod("pod"));
    expect(network.links[0]?.addresses.map(({ address }) => address)).toEqual([
      ADDRESSES.node.v4,
      ADDRESSES.node.v6,
    ]);
    await bench.serve(node, "serve", "172.17.0.1", "7005", "bridge");
    expect(await bench.try(guest, "get", "172.17.0.1", "7005")).toContain("bridge from");
    expect(bench.log.lines.some(({ message }) => /10\.91\.0\.77/.test(message))).toBe(true);
  });
});

describe("the end of an uplink", () => {
  it("leaves nothing, and comes twice", async () => {
    await start();
    const pod = bench.pod("pod", [port(80)]);
    await bench.connect(pod);
    expect(await bench.left()).toMatchObject({ processes: ["pod.pasta"], directories: ["pod"], users: 1 });
    await bench.networks.disconnect(pod);
    await bench.networks.disconnect(pod);
    expect(await bench.left()).toEqual(NOTHING);
  });

  it.each([
    ["before its helper", /^spawn$/],
    ["before its namespaces", /^makeUplink$/],
  ])("is reached by a later daemon: the one before died %s", async (_, died) => {
    await start();
    const pod = bench.pod("pod", [port(9100)]);
    const failing = bench.newNetworks({
      keeper: new Proxy(bench.keeper, {
        get: (keeper, name) => {
          if (died.test(String(name))) return async () => new Promise(() => undefined);
          const value: unknown = Reflect.get(keeper, name, keeper);
          return typeof value === "function" ? value.bind(keeper) : value;
        },
      }),
    });
    const network = await failing.read(pod);
    void failing.connect(bench.guest(network).vm, pod, network, []);
    await new Promise((resolve) => setTimeout(resolve, 200));
    await bench.newNetworks().disconnect({ id: "pod", netnsPath: "" });
    expect(await bench.left()).toEqual(NOTHING);
  });

  it("is reached by a later daemon while it serves, and its port is free", async () => {
    await start();
    await bench.connect(bench.pod("pod", [port(9100)]));
    bench.networks = bench.newNetworks();
    await bench.networks.disconnect({ id: "pod", netnsPath: "" });
    expect(await bench.left()).toEqual(NOTHING);
    await bench.connect(bench.pod("next", [port(9100)]));
  });

  it("is not that of its helper: another one takes over the guest, once", async () => {
    const { outside, keeper } = await start();
    const pod = bench.pod("pod", [port(80)]);
    const { guest, network } = await bench.connect(pod);
    const changes: unknown[] = [];
    bench.networks.watch(pod, network, (change) => changes.push(change));
    await bench.serve(guest, "serve", "::", "80", "guest");
    await keeper.signal("pod.pasta", 9);
    await vi.waitFor(
      async () => expect(await bench.try(outside, "get", ADDRESSES.node.v4, "80")).toContain("guest from"),
      { timeout: 10_000 },
    );
    expect(changes).toEqual([]);
    expect(bench.log.lines.some(({ level, message }) => level === "warn" && /replaced/.test(message))).toBe(
      true,
    );
    await keeper.signal("pod.pasta", 9);
    await vi.waitFor(() =>
      expect(changes).toEqual([{ kind: "gone", reason: expect.stringContaining("signal 9") }]),
    );
    await bench.networks.disconnect(pod);
    expect(await bench.left()).toEqual(NOTHING);
  });

  it.each(["that alone", "and the daemon's"])(
    "is not that of its helper either after the keeper's death: %s",
    async (whose) => {
      const { outside } = await start();
      const pod = bench.pod("pod", [port(80)]);
      const { guest } = await bench.connect(pod);
      await bench.serve(guest, "serve", "::", "80", "guest");
      const reached = () =>
        vi.waitFor(
          async () =>
            expect(await bench.try(outside, "get", ADDRESSES.node.v4, "80")).toContain("guest from"),
          { timeout: 10_000 },
        );
      await reached();
      await bench.replaceKeeper();
      if (whose !== "that alone") {
        bench.networks = bench.newNetworks();
        await bench.networks.adopt(pod, "pod", []);
      }
      await reached();
      const helper = bench.helper("pod");
      await bench.keeper.signal("pod.pasta", 9);
      await vi.waitFor(() => expect(bench.helper("pod")).not.toBe(helper), { timeout: 5_000 });
      await reached();
      await bench.networks.disconnect(pod);
      expect(await bench.left()).toEqual(NOTHING);
    },
  );
});
