/** The pod's network: interfaces become what the host says, at set-up and afterwards. */
import * as fc from "fast-check";
import { afterAll, describe, expect, it } from "vitest";
import type { PodLink, PodNetwork, PodRoute } from "../../../src/contracts/pod-network.ts";
import {
  RT_SCOPE_LINK,
  RT_SCOPE_UNIVERSE,
  RTN_BLACKHOLE,
  RTN_UNICAST,
} from "../../../src/protocol/netlink/constants.ts";
import type { AgentBench } from "../../support/bench/agent.ts";
import { sandboxSetup } from "../../support/guest-requests.ts";

const SETUP = { hostname: "pod-1", shmBytes: 1 << 20, sharedPidNamespace: true };
const ids = [{ containerId: 0, hostId: 300_000, size: 65_536 }];
const MAPS = { uids: ids, gids: ids };

const route = (destination: string, more: Partial<PodRoute> = {}): PodRoute => {
  const isIp6 = destination.includes(":");
  const scope = isIp6 || more.gateway !== undefined ? RT_SCOPE_UNIVERSE : RT_SCOPE_LINK;
  const metric = isIp6 ? 1024 : 0;
  return { destination, link: "eth0", scope, type: RTN_UNICAST, metric, onlink: false, ...more };
};

const ETH0: PodLink = {
  name: "eth0",
  mac: "0a:58:0a:01:00:02",
  mtu: 1400,
  addresses: [
    { address: "10.1.0.2", prefix: 24, broadcast: "10.1.0.255", scope: 0 },
    { address: "fd00:1::2", prefix: 64, scope: 0 },
    { address: "fe80::858:aff:fe01:2", prefix: 64, scope: 253 },
  ],
};

/** As the bridge plugin leaves it. */
export const BRIDGED: PodNetwork = {
  links: [ETH0],
  routes: [
    route("10.1.0.0/24", { source: "10.1.0.2" }),
    route("fd00:1::/64", { metric: 256 }),
    route("fe80::/64", { metric: 256 }),
    route("0.0.0.0/0", { gateway: "10.1.0.1" }),
    route("::/0", { gateway: "fd00:1::1" }),
  ],
  neighbours: [],
};

/** As the ptp plugin leaves it, with a second link under a name that the kernel gives to the first interface. */
const ODD: PodNetwork = {
  links: [
    { ...ETH0, name: "net1", addresses: [{ address: "10.2.0.2", prefix: 24, scope: 0 }] },
    {
      name: "eth0",
      mac: "0a:58:0a:03:00:02",
      mtu: 68,
      addresses: [
        { address: "192.0.2.1", prefix: 32, peer: "192.0.2.2", scope: 0 },
        { address: "192.0.2.9", prefix: 32, scope: 0 },
      ],
    },
  ],
  routes: [
    route("10.2.0.1/32", { link: "net1", source: "10.2.0.2" }),
    route("10.2.0.0/24", { link: "net1", gateway: "10.2.0.1", source: "10.2.0.2" }),
    route("192.0.2.2/32", { source: "192.0.2.1" }),
    route("10.9.0.0/16", { link: "", type: RTN_BLACKHOLE, scope: RT_SCOPE_UNIVERSE }),
    route("10.8.0.0/16", { gateway: "192.0.2.77", onlink: true, mtu: 60, metric: 7 }),
  ],
  neighbours: [{ link: "net1", address: "10.2.0.1", mac: "0a:58:0a:02:00:01" }],
};

const SHOW = [
  "ip -o link | sed -E 's/qdisc.*link.ether//; s/ brd.*//; s/qdisc.*//' | grep UP | grep -v ' lo:'",
  "ip -o addr | grep -v ' lo ' | sed -E 's/ +valid.*//; s/^[0-9]+: //; s/.$//' | tr -s ' '",
  "ip route; ip -6 route | grep -v '^ff00'; ip neigh | grep PERM",
].join("; ");

export function describeNetwork(bench: AgentBench): void {
  const setUp = (network: PodNetwork | undefined, more: Partial<Parameters<typeof sandboxSetup>[0]> = {}) =>
    bench.guest.request("sandbox.setup", sandboxSetup({ ...SETUP, network, ...more }));
  const show = async (more = {}) =>
    (await bench.run(SHOW, more)).stdout
      .trim()
      .split("\n")
      .map((line) => line.trim());

  describe("the pod's network", () => {
    afterAll(() => setUp(undefined));

    it("is nothing but lo without links", async () => {
      await setUp(undefined);
      const { stdout } = await bench.run(
        "ip -o -4 addr; ip -o -6 addr; ip route; ping -c 1 -W 1 127.0.0.1 | grep -c ttl",
      );
      expect(stdout).toContain("127.0.0.1/8");
      expect(stdout).toContain("::1/128");
      expect(stdout.trim().split("\n")).toHaveLength(3);
    });

    it("is what the pod's namespace has", async () => {
      await setUp(BRIDGED);
      expect(await show()).toMatchInlineSnapshot(`
        [
          "2: eth0: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1400  0a:58:0a:01:00:02",
          "eth0 inet 10.1.0.2/24 brd 10.1.0.255 scope global eth0",
          "eth0 inet6 fd00:1::2/64 scope global flags 02",
          "eth0 inet6 fe80::858:aff:fe01:2/64 scope link flags 02",
          "default via 10.1.0.1 dev eth0",
          "10.1.0.0/24 dev eth0 scope link  src 10.1.0.2",
          "fd00:1::/64 dev eth0  metric 256",
          "fe80::/64 dev eth0  metric 256",
          "default via fd00:1::1 dev eth0  metric 1024",
          "multicast ff00::/8 dev eth0  metric 256",
        ]
      `);
    });

    it("may be told again, and changes as it is told", async () => {
      await setUp(BRIDGED);
      const before = await show();
      await setUp(BRIDGED);
      await bench.guest.request("network.apply", { network: BRIDGED });
      expect(await show()).toEqual(before);
      await bench.guest.request("network.apply", { network: ODD });
      expect(await show()).toMatchInlineSnapshot(`
        [
          "2: net1: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1400  0a:58:0a:01:00:02",
          "3: eth0: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 68  0a:58:0a:03:00:02",
          "net1 inet 10.2.0.2/24 scope global noprefixroute net1",
          "eth0 inet 192.0.2.1 peer 192.0.2.2/32 scope global eth0",
          "eth0 inet 192.0.2.9/32 scope global eth0",
          "10.2.0.0/24 via 10.2.0.1 dev net1  src 10.2.0.2",
          "10.2.0.1 dev net1 scope link  src 10.2.0.2",
          "10.8.0.0/16 via 192.0.2.77 dev eth0  metric 7 onlink",
          "blackhole 10.9.0.0/16",
          "192.0.2.2 dev eth0 scope link  src 192.0.2.1",
          "multicast ff00::/8 dev net1  metric 256",
          "10.2.0.1 dev net1 lladdr 0a:58:0a:02:00:01 used 0/0/0 probes 0 PERMANENT",
        ]
      `);
      await bench.guest.request("network.apply", { network: BRIDGED });
      expect(await show()).toEqual(before);
    });

    it("leaves what the pod has changed itself", async () => {
      await setUp(BRIDGED);
      const network = {
        ...BRIDGED,
        routes: [...BRIDGED.routes, route("10.7.0.0/16", { gateway: "10.1.0.1" })],
      };
      const capabilities = {
        bounding: 1 << 12,
        effective: 1 << 12,
        permitted: 1 << 12,
        inheritable: 0,
        ambient: 0,
      };
      const own = await bench.run(
        "ip route add 10.6.0.0/16 via 10.1.0.9 && ip route del default",
        {},
        { capabilities },
      );
      expect(own).toMatchObject({ status: 0, stderr: "" });
      await bench.guest.request("network.apply", { network });
      const { stdout } = await bench.run("ip route");
      expect(stdout).toContain("10.7.0.0/16 via 10.1.0.1");
      expect(stdout).toContain("10.6.0.0/16 via 10.1.0.9");
      expect(stdout).not.toContain("default");
      await bench.guest.request("network.apply", { network: ODD });
    });

    it("is that of a pod with a user namespace, too", async () => {
      await setUp(BRIDGED);
      const before = await show();
      await setUp(BRIDGED, { userNamespace: MAPS });
      expect(await show({ userNamespace: MAPS })).toEqual(before);
      await bench.guest.request("network.apply", { network: ODD });
      expect(await show({ userNamespace: MAPS })).toContainEqual(
        expect.stringMatching(/^10\.2\.0\.1 dev net1 lladdr 0a:58:0a:02:00:01 .*PERMANENT$/),
      );
      await setUp(BRIDGED);
      expect(await show()).toEqual(before);
    });

    it("has the sysctls that were set in the pod's namespace, until they are not any more", async () => {
      const [keepalive, hops] = ["net/ipv4/tcp_keepalive_time", "net/ipv6/conf/eth0/hop_limit"] as const;
      const values = async (more = {}) => {
        const { stdout } = await bench.run(`cd /proc/sys; cat ${keepalive} ${hops}`, more);
        return stdout.trim().split("\n");
      };
      await setUp(BRIDGED);
      const before = await values();
      const network = { ...BRIDGED, sysctls: { [keepalive]: "511", [hops]: "33" } };
      await bench.guest.request("network.apply", { network });
      expect(await values()).toEqual(["511", "33"]);
      // the pod's own word is the last
      await setUp(network, { sysctls: { "net.ipv4.tcp_keepalive_time": "77" }, userNamespace: MAPS });
      expect(await values({ userNamespace: MAPS })).toEqual(["77", "33"]);
      await setUp(network);
      await bench.guest.request("network.apply", { network: BRIDGED });
      expect(await values()).toEqual(before);
      for (const [name, error] of [
        ["net/core/none", /net\/core\/none/],
        ["net/../kernel/panic", /none of the network's/],
      ] as const) {
        const refused = bench.guest.request("network.apply", {
          network: { ...BRIDGED, sysctls: { [name]: "1" } },
        });
        await expect(refused).rejects.toThrow(error);
      }
      await bench.guest.request("network.apply", { network: BRIDGED });
    });

    it("has the pod's sysctls, those of its links, too", async () => {
      const sysctls = {
        "net.ipv4.conf.eth0.rp_filter": "2",
        "net/ipv4/ip_local_port_range": "40000 40100",
        "kernel.shm_rmid_forced": "1",
        "fs.mqueue.msg_max": "20",
      };
      const script =
        "cd /proc/sys; cat net/ipv4/conf/eth0/rp_filter net/ipv4/ip_local_port_range kernel/shm_rmid_forced fs/mqueue/msg_max";
      const expected = "2\n40000\t40100\n1\n20\n";
      await setUp(BRIDGED, { sysctls });
      expect((await bench.run(script)).stdout).toBe(expected);
      await setUp(BRIDGED, { sysctls, userNamespace: MAPS });
      expect((await bench.run(script, { userNamespace: MAPS })).stdout).toBe(expected);
      const refused = setUp(BRIDGED, { sysctls: { "net.ipv4.ip_forward": "maybe" } });
      await expect(refused).rejects.toMatchObject({
        code: "InvalidSpec",
        details: { subject: "net.ipv4.ip_forward=maybe", reason: "Invalid argument (EINVAL)" },
      });
      await expect(setUp(BRIDGED, { sysctls: { "net.no.such": "1" } })).rejects.toThrow("net.no.such=1");
      await expect(setUp(BRIDGED, { sysctls: { "net/../../x": "1" } })).rejects.toThrow(
        "not the name of a sysctl",
      );
    });
  });
}

const ADDRESSES = [
  "10.1.0.2",
  "10.1.0.1",
  "0.0.0.0",
  "255.255.255.255",
  "224.0.0.1",
  "fd00:1::2",
  "::",
  "ff02::1",
  "fe80::1",
];
const WRONG = [
  "",
  "10.1.0",
  "10.1.0.256",
  "fd00::1::2",
  "x".repeat(300),
  "\u0000",
  "é",
  "1e3",
  "::ffff:10.0.0.1%eth0",
];
const address = fc.oneof(
  fc.constantFrom(...ADDRESSES),
  { arbitrary: fc.constantFrom(...WRONG), weight: 1 },
  fc.ipV4(),
  fc.ipV6(),
);
const mac = fc.constantFrom(
  "0a:58:0a:01:00:02",
  "ff:ff:ff:ff:ff:ff",
  "00:00:00:00:00:00",
  "01:00:5e:00:00:01",
  "0a:58",
  "zz",
);
const name = fc.constantFrom(
  "eth0",
  "eth1",
  "net1",
  "lo",
  "",
  ".",
  "..",
  "eth%d",
  "a b",
  "a/b",
  "x".repeat(16),
  "é",
  "all",
);
const uint8 = fc.oneof(fc.constantFrom(0, 1, 6, 7, 8, 253, 254, 255), fc.nat(255));
const maybe = <T>(value: fc.Arbitrary<T>) => fc.option(value, { nil: undefined, freq: 2 });
const destination = fc
  .tuple(address, fc.constantFrom("/0", "/8", "/24", "/32", "/64", "/128", "/129", "", "/x"))
  .map((parts) => parts.join(""));
const network: fc.Arbitrary<PodNetwork> = fc.record({
  links: fc.array(
    fc.record({
      name,
      mac,
      mtu: fc.constantFrom(0, 1, 68, 1279, 1280, 1500, 65_535, 65_536, 0xffff_ffff),
      addresses: fc.array(
        fc.record({
          address,
          prefix: fc.constantFrom(0, 8, 24, 32, 33, 64, 128),
          peer: maybe(address),
          broadcast: maybe(address),
          scope: uint8,
        }),
        { maxLength: 6 },
      ),
    }),
    { maxLength: 3 },
  ),
  routes: fc.array(
    fc.record({
      ...{
        destination,
        link: fc.oneof(name, fc.constant("eth0")),
        gateway: maybe(address),
        source: maybe(address),
      },
      ...{ scope: uint8, type: uint8, metric: fc.constantFrom(0, 1, 256, 0xffff_ffff) },
      ...{ mtu: maybe(fc.constantFrom(0, 1, 68, 1500, 0xffff_ffff)), onlink: fc.boolean() },
    }),
    { maxLength: 8 },
  ),
  neighbours: fc.array(fc.record({ link: name, address, mac }), { maxLength: 3 }),
});

export function describeHostileNetworks(bench: AgentBench): void {
  describe("a network that makes no sense", () => {
    const apply = (network: PodNetwork) => bench.guest.request("network.apply", { network });

    it("is applied or refused by name, and the next one that makes sense is applied", async () => {
      await bench.guest.request("sandbox.setup", sandboxSetup({ ...SETUP, network: BRIDGED }));
      const show = async () => (await bench.run(SHOW)).stdout;
      const before = await show();
      const session = bench.guest.hello;
      await fc.assert(
        fc.asyncProperty(network, async (odd) => {
          const error = await apply(structuredClone(odd)).then(
            () => undefined,
            (reason: unknown) => reason,
          );
          if (error !== undefined) {
            expect(error).toMatchObject({ code: expect.stringMatching(/^(InvalidArgument|GuestFailed)$/) });
            expect(error).toHaveProperty("details.subject", expect.any(String));
          }
          await bench.guest.request("ping", {});
        }),
        { numRuns: 150 },
      );
      await apply(BRIDGED);
      expect(await show()).toBe(before);
      // the agent was not started again
      expect(bench.guest.hello).toBe(session);
    });

    it("is refused if it is too large", async () => {
      const [link] = BRIDGED.links;
      const many = Array.from({ length: 9 }, (_, at) => ({ ...ETH0, ...link, name: `net${at}` }));
      await expect(apply({ ...BRIDGED, links: many })).rejects.toThrow("a list of at most 8");
      const three = many.slice(0, 3);
      await expect(apply({ ...BRIDGED, links: three, routes: [] })).rejects.toMatchObject({
        details: { subject: "net2", reason: "the machine has 2 network interfaces, and the pod 3 links" },
      });
    });

    it("may have many addresses and routes", async () => {
      const addresses = Array.from({ length: 250 }, (_, at) => ({
        address: `10.1.0.${at + 2}`,
        prefix: 24,
        scope: 0,
      }));
      const routes = Array.from({ length: 1000 }, (_, at) =>
        route(`10.2.${at >> 8}.${at & 255}/32`, { gateway: "10.1.0.1" }),
      );
      await apply({
        ...BRIDGED,
        links: [{ ...ETH0, addresses }],
        routes: [...BRIDGED.routes.slice(0, 1), ...routes],
      });
      const { stdout } = await bench.run("ip -o -4 addr show eth0 | wc -l; ip route | wc -l");
      expect(stdout).toBe("250\n1001\n");
      await apply(BRIDGED);
      expect((await bench.run("ip -o -4 addr show eth0 | wc -l; ip route | wc -l")).stdout).toBe("1\n2\n");
    });
  });
}
