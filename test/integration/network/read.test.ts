import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { setTimeout } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { IPV4, IPV6 } from "../../../src/protocol/netlink/link-settings.ts";
import { joinTaps, leaveTaps } from "../../../src/workers/network/join.ts";
import { lookAgain, readNetwork } from "../../../src/workers/network/read.ts";
import { NAMES } from "../../../src/workers/network/sysctls.ts";
import { TestTap } from "../../support/network/frames.ts";
import { CniChain, Namespaces, type TestNamespace } from "../../support/network/namespaces.ts";

let namespaces: Namespaces;
let host: TestNamespace;
let pod: TestNamespace;
/** Of the plugin that hands out addresses. */
let directory: string;

beforeEach(() => {
  namespaces = new Namespaces();
  host = namespaces.make("host");
  pod = namespaces.make("pod");
  directory = mkdtempSync(path.join(tmpdir(), "cni-"));
});

afterEach(() => {
  namespaces.close();
  rmSync(directory, { recursive: true });
});

const ranges = (...subnets: string[]) => subnets.map((subnet) => [{ subnet }]);
const ipam = (extra: object = {}) => ({
  type: "host-local",
  ranges: ranges("10.77.0.0/24", "fd77::/64"),
  routes: [{ dst: "0.0.0.0/0" }, { dst: "::/0" }],
  dataDir: directory,
  ...extra,
});
const bridge = () => ({
  type: "bridge",
  bridge: "cni0",
  isGateway: true,
  ipMasq: false,
  mtu: 1450,
  ipam: ipam(),
});

const macOf = (namespace: TestNamespace, link: string): string =>
  namespace.ipJson(`link show ${link}`)[0].address;
const shown = (namespace: TestNamespace, words: string): string[] =>
  namespace.ipJson(words).map((route: Record<string, unknown>) => String(route["dst"]));

/** Another value of the same sort; undefined where there is none that is known. */
function otherValue(value: string): string | undefined {
  if (value === "0") return "1";
  const numbers = value.split(/\s+/).map(Number);
  return numbers.every(Number.isInteger)
    ? numbers.map((number) => Math.max(number - 1, 0)).join(" ")
    : undefined;
}

/** Destinations of a network's routes as ip(8) shows them. */
function destinations(routes: readonly { destination: string }[]): string[] {
  return routes.map(({ destination }) =>
    destination.endsWith("/0") ? "default" : destination.replace(/\/(32|128)$/, ""),
  );
}

describe("what CNI plugins have made", () => {
  it("bridge with host-local: addresses of both families, the link's own, MTU, MAC, gateways", () => {
    const chain = new CniChain(host, pod, [bridge()]);
    chain.add();
    const network = readNetwork(pod.path);
    expect(network.links).toHaveLength(1);
    expect(network.links[0]).toMatchObject({ name: "eth0", mtu: 1450, mac: macOf(pod, "eth0") });
    const addresses = network.links[0]?.addresses ?? [];
    expect(addresses).toContainEqual({
      address: "10.77.0.2",
      prefix: 24,
      broadcast: "10.77.0.255",
      scope: 0,
    });
    expect(addresses).toContainEqual({ address: "fd77::2", prefix: 64, scope: 0 });
    expect(addresses).toContainEqual(
      expect.objectContaining({ address: expect.stringMatching(/^fe80:/), scope: 253 }),
    );
    expect(network.routes).toContainEqual(
      expect.objectContaining({ destination: "0.0.0.0/0", gateway: "10.77.0.1", link: "eth0", type: 1 }),
    );
    expect(network.routes).toContainEqual(
      expect.objectContaining({ destination: "::/0", gateway: "fd77::1" }),
    );
    expect(destinations(network.routes).toSorted()).toEqual(
      [...shown(pod, "-4 route show"), ...shown(pod, "-6 route show")].toSorted(),
    );
    const gateways = network.routes.map(({ gateway }) => gateway !== undefined);
    expect(gateways.toSorted((one, other) => Number(one) - Number(other))).toEqual(gateways);
  });

  it("ptp: a network without a network, and a gateway by a device route", async () => {
    new CniChain(host, pod, [
      {
        type: "ptp",
        mtu: 1400,
        ipam: ipam({ ranges: ranges("10.78.0.0/24"), routes: [{ dst: "0.0.0.0/0" }] }),
      },
    ]).add();
    // the plugin does not wait for the address of the link's own
    while (!shown(pod, "-6 route show").includes("fe80::/64")) await setTimeout(20);
    const network = readNetwork(pod.path);
    expect(network.links[0]).toMatchObject({
      mtu: 1400,
      addresses: expect.arrayContaining([expect.objectContaining({ address: "10.78.0.2", prefix: 24 })]),
    });
    expect(destinations(network.routes).toSorted()).toEqual(
      [...shown(pod, "-4 route show"), ...shown(pod, "-6 route show")].toSorted(),
    );
    const device = network.routes.findIndex(({ destination }) => destination === "10.78.0.1/32");
    expect(network.routes[device]).toMatchObject({ scope: 253 });
    expect(device).toBeLessThan(
      network.routes.findIndex(({ destination }) => destination === "10.78.0.0/24"),
    );
  });

  it("macvlan", () => {
    host.ip("link add wire type veth peer name wire1");
    host.ip("link set wire up");
    host.ip("link set wire1 up");
    new CniChain(host, pod, [{ type: "macvlan", master: "wire", mode: "bridge", ipam: ipam() }]).add();
    expect(readNetwork(pod.path).links[0]).toMatchObject({ name: "eth0", mac: macOf(pod, "eth0") });
  });

  it("a chain with tuning: MTU and MAC of its own, and its CHECK and DEL with a VM joined", async () => {
    const sysctl = { "net.core.somaxconn": "511", "net.ipv4.conf.eth0.rp_filter": "2" };
    const chain = new CniChain(host, pod, [
      bridge(),
      { type: "tuning", mac: "02:11:22:33:44:55", mtu: 1300, sysctl },
    ]);
    chain.add();
    const network = readNetwork(pod.path);
    expect(network.sysctls).toEqual({
      "net/core/somaxconn": "511",
      "net/ipv4/conf/eth0/rp_filter": "2",
      // set by bridge itself
      "net/ipv4/conf/eth0/arp_notify": "1",
    });
    expect(network.links[0]).toMatchObject({ mac: "02:11:22:33:44:55", mtu: 1300 });
    const parking = namespaces.make("park");
    const tap = TestTap.open(parking.path, "nic0");
    await joinTaps(pod.path, [{ link: "eth0", mtu: 1300, nic: { tap: "nic0", namespace: parking.path } }]);
    chain.check();
    leaveTaps(pod.path);
    chain.remove();
    expect(readNetwork(pod.path).links).toEqual([]);
    tap.close();
  });

  it("a chain with portmap, firewall and bandwidth, whose rules are on the host's side", () => {
    const portMappings = [{ hostPort: 8080, containerPort: 80, protocol: "tcp" }];
    const limits = { ingressRate: 1e6, ingressBurst: 1e6, egressRate: 1e6, egressBurst: 1e6 };
    const chain = new CniChain(host, pod, [
      bridge(),
      { type: "firewall", backend: "iptables" },
      { type: "portmap", runtimeConfig: { portMappings } },
      { type: "bandwidth", ...limits },
    ]);
    chain.add();
    expect(readNetwork(pod.path).links).toMatchObject([{ name: "eth0", mtu: 1450 }]);
    chain.remove();
    expect(readNetwork(pod.path).links).toEqual([]);
  });

  it("several networks, in the order in which they were made", () => {
    new CniChain(host, pod, [bridge()]).add();
    const second = {
      ...bridge(),
      bridge: "cni1",
      isGateway: false,
      mtu: 9000,
      ipam: { type: "static", addresses: [{ address: "192.168.7.7/24" }] },
    };
    new CniChain(host, pod, [second], "net1").add();
    new CniChain(host, pod, [{ ...second, ipam: {} }], "net2").add();
    const { links } = readNetwork(pod.path);
    expect(links.map(({ name, mtu }) => [name, mtu])).toEqual([
      ["eth0", 1450],
      ["net1", 9000],
      ["net2", 9000],
    ]);
    expect(links[2]?.addresses.filter(({ scope }) => scope === 0)).toEqual([]);
  });
});

describe("what else a namespace may have", () => {
  it("permanent neighbours, routes with their MTU, device routes, blackholes", () => {
    ({ pod } = namespaces.pair());
    pod.ip("address add 169.254.1.2/32 dev eth0");
    pod.ip("neigh add 169.254.1.1 lladdr ee:ee:ee:ee:ee:ee dev eth0 nud permanent");
    pod.ip("route add 169.254.1.1 dev eth0 scope link");
    pod.ip("route add default via 169.254.1.1 dev eth0 mtu 1380");
    pod.ip("route add blackhole 10.99.0.0/16 metric 9");
    const network = readNetwork(pod.path);
    expect(network.neighbours).toEqual([{ link: "eth0", address: "169.254.1.1", mac: "ee:ee:ee:ee:ee:ee" }]);
    expect(network.routes).toContainEqual(expect.objectContaining({ destination: "0.0.0.0/0", mtu: 1380 }));
    expect(network.routes).toContainEqual({
      destination: "10.99.0.0/16",
      link: "",
      scope: 0,
      type: 6,
      metric: 9,
      onlink: false,
    });
  });

  it("sysctls that were set: every one that is carried, and nothing else", () => {
    ({ pod } = namespaces.pair());
    expect(readNetwork(pod.path).sysctls).toBeUndefined();
    const names = [
      ...NAMES,
      ...Object.keys(IPV4).map((name) => `net/ipv4/conf/eth0/${name}`),
      ...Object.keys(IPV6).map((name) => `net/ipv6/conf/eth0/${name}`),
    ];
    const shownOf = (name: string) =>
      pod
        .run("cat", [`/proc/sys/${name}`])
        .trim()
        .replaceAll(/\s+/g, " ");
    const before = names.map(shownOf);
    for (const [index, name] of names.entries()) {
      const value = otherValue(before[index] ?? "");
      if (value !== undefined) pod.run("sh", ["-c", `echo ${value} > /proc/sys/${name}`]);
    }
    // some decide about others: forwarding about redirects, all links together about each
    const follow = /eth0\/(forwarding|disable_ipv6)$/;
    const set = names
      .filter((name) => !follow.test(name))
      .map((name) => [name, shownOf(name), before[names.indexOf(name)]] as const)
      .filter(([, now, then]) => now !== then);
    expect(set.length).toBeGreaterThan(60);
    expect(readNetwork(pod.path).sysctls).toEqual(Object.fromEntries(set.map(([name, now]) => [name, now])));
  });

  it("nothing but lo: no network", () => {
    expect(readNetwork(pod.path)).toEqual({ links: [], routes: [], neighbours: [] });
  });

  it("too much of it, by name", () => {
    ({ pod } = namespaces.pair());
    const batch = Array.from(
      { length: 1100 },
      (_, n) => `route add 10.3.${n >> 8}.${n & 255}/32 dev eth0`,
    ).join("\n");
    pod.run("ip", ["-batch", "-"], { text: batch });
    expect(() => readNetwork(pod.path)).toThrow(/110\d routes.*1024/);
    for (let n = 1; n < 9; n++) {
      pod.ip(`link add net${n} type veth peer name p${n}`);
      pod.ip(`link set net${n} up`);
    }
    expect(() => readNetwork(pod.path)).toThrow(/9 links.*8/);
  });

  it.each([
    ["a bridge", ["link add br0 type bridge", "link set br0 up"], /br0.*bridge.*veth/],
    [
      "several next hops",
      ["address add 10.1.0.2/24 dev eth0", "route add 10.9.0.0/16 nexthop via 10.1.0.3 nexthop via 10.1.0.4"],
      /10\.9\.0\.0\/16.*several next hops/,
    ],
    ["a rule", ["rule add from 10.1.0.2 table 100"], /rule \d+.*table 100/],
    [
      "a macvlan above a link of the pod",
      ["link add mv0 link eth0 type macvlan mode bridge", "link set mv0 up"],
      /mv0: a macvlan above eth0/,
    ],
    ["an address of lo", ["address add fd09::1/128 dev lo"], /fd09::1, an address of lo/],
    ["a route that throws", ["route add throw 10.9.0.0/16"], /10\.9\.0\.0\/16: it has the type throw/],
    [
      "addresses by a local route",
      ["-6 route add local fd09::/64 dev lo"],
      /fd09::\/64: it has the type local/,
    ],
    ["a tunnel without Ethernet", ["tuntap add tun0 mode tun", "link set tun0 up"], /tun0.*no Ethernet/],
  ] as const)("%s: refused, by name", (_, commands, words) => {
    ({ pod } = namespaces.pair());
    for (const command of commands) pod.ip(command);
    expect(() => readNetwork(pod.path)).toThrow(
      expect.objectContaining({ code: "UnsupportedSpec", message: expect.stringMatching(words) }),
    );
  });

  it.each([
    ["/run/netns/blz-never", "HostResource", /no network namespace/],
    ["/proc/self/status", "HostResource", /no network namespace/],
    ["/proc/self/ns/mnt", "HostResource", /no network namespace/],
    ["/proc/self/ns/net", "InvalidSpec", /blazard/],
  ])("a path that is no pod's: %s", (place, code, words) => {
    expect(() => readNetwork(place)).toThrow(
      expect.objectContaining({ code, message: expect.stringMatching(words) }),
    );
  });
});

describe("a network that is looked at again", () => {
  let tap: TestTap;
  let parking: TestNamespace;

  beforeEach(() => {
    ({ pod } = namespaces.pair());
    parking = namespaces.make("park");
    tap = TestTap.open(parking.path, "nic0");
  });

  afterEach(() => tap.close());

  async function joined() {
    const joined = await joinTaps(pod.path, [
      { link: "eth0", mtu: 1500, nic: { tap: "nic0", namespace: parking.path } },
    ]);
    return () => lookAgain(pod.path, joined);
  }

  it("shows what has changed, and the tap has the link's new MTU", async () => {
    const look = await joined();
    expect(look()).toMatchObject({ kind: "there", network: readNetwork(pod.path), beside: [] });
    pod.ip("address add 10.1.0.2/24 dev eth0");
    pod.ip("link set eth0 mtu 1280");
    expect(look()).toMatchObject({
      kind: "there",
      network: {
        links: [
          {
            mtu: 1280,
            addresses: expect.arrayContaining([expect.objectContaining({ address: "10.1.0.2" })]),
          },
        ],
      },
    });
    expect(pod.ipJson("link show blazar0")[0].mtu).toBe(1280);
  });

  it("names links that came later, and leaves out what cannot be carried", async () => {
    const look = await joined();
    pod.ip("address add 10.1.0.2/24 dev eth0");
    pod.ip("route add 10.9.0.0/16 nexthop via 10.1.0.3 nexthop via 10.1.0.4");
    pod.ip("link add br0 type bridge");
    pod.ip("link set br0 up");
    const after = look();
    expect(after).toMatchObject({ kind: "there", beside: ["br0"] });
    expect(JSON.stringify(after)).not.toContain("10.9.0.0");
  });

  it("is gone with its link, its namespace, or another in its place", async () => {
    const look = await joined();
    pod.ip("link del eth0");
    expect(look()).toEqual({ kind: "gone", reason: "its link eth0 was removed" });
    pod.ip("link add eth0 type veth peer name p0");
    expect(look()).toMatchObject({ kind: "gone" });
    namespaces.remove(pod);
    expect(look()).toEqual({ kind: "gone", reason: "its namespace was removed" });
  });
});
