import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { addAddress, deleteAddress } from "../../../src/protocol/netlink/addresses.ts";
import { RTN_BLACKHOLE } from "../../../src/protocol/netlink/constants.ts";
import { setLink } from "../../../src/protocol/netlink/links.ts";
import { deleteNeighbour, setNeighbour } from "../../../src/protocol/netlink/neighbours.ts";
import { type NetworkRecords, readRecords } from "../../../src/protocol/netlink/pod-network.ts";
import { addRoute, deleteRoute, type RouteSpec } from "../../../src/protocol/netlink/routes.ts";
import {
  addIngress,
  deleteIngress,
  deleteRedirect,
  redirectIngress,
} from "../../../src/protocol/netlink/traffic.ts";
import type { NetlinkRequest } from "../../../src/protocol/netlink/writer.ts";
import { NetworkNamespace } from "../../../src/workers/network/namespaces.ts";
import { RouteSession } from "../../../src/workers/network/route-session.ts";
import { Namespaces, type TestNamespace } from "../../support/network/namespaces.ts";

const namespaces = new Namespaces();
let pod: TestNamespace;
let session: RouteSession;
let eth0: number;

beforeAll(() => {
  pod = namespaces.pair().pod;
  const namespace = NetworkNamespace.open(pod.path);
  session = RouteSession.in(namespace);
  namespace.close();
  eth0 = session.link("eth0")?.index ?? -1;
});

afterAll(() => {
  session.close();
  namespaces.close();
});

const read = (): NetworkRecords => readRecords(session.exchange);

function ask(request: NetlinkRequest): void {
  expect(session.exchange.ask(request)).toEqual({ errno: 0, text: undefined });
}

describe("netlink, beside ip(8) and tc(8)", () => {
  it("reads links as ip does", () => {
    const shown = pod.ipJson("-d link show");
    expect(read().links).toEqual(
      // biome-ignore lint/suspicious/noExplicitAny: what ip says
      shown.map((link: any) =>
        expect.objectContaining({
          index: link["ifindex"],
          name: link["ifname"],
          mac: link["address"],
          mtu: link["mtu"],
          kind: link["linkinfo"]?.["info_kind"] ?? "",
          up: link["flags"].includes("UP"),
        }),
      ),
    );
  });

  it("changes a link, and reads what ip has changed", () => {
    ask(setLink(eth0, { mtu: 1400, mac: "02:00:00:00:00:aa", addressMode: 1 }));
    expect(pod.ipJson("-d link show eth0")[0]).toMatchObject({
      mtu: 1400,
      address: "02:00:00:00:00:aa",
      inet6_addr_gen_mode: "none",
    });
    pod.ip("link set eth0 mtu 1500 addrgenmode eui64");
    expect(session.link("eth0")).toMatchObject({ mtu: 1500, addressMode: 0, up: true });
    ask(setLink(eth0, { up: false }));
    expect(pod.ipJson("link show eth0")[0].flags).not.toContain("UP");
    ask(setLink(eth0, { name: "net1" }));
    expect(session.link("eth0")).toBeUndefined();
    ask(setLink(eth0, { name: "eth0", up: true }));
  });

  it("says in the kernel's words what it refuses", () => {
    const answer = session.exchange.ask(setLink(eth0, { mtu: 10 }));
    expect(answer).toMatchObject({ errno: 22, text: expect.stringMatching(/mtu/i) });
  });

  it("adds and reads addresses as ip does", () => {
    const four = { address: "10.1.2.3", prefix: 24, broadcast: "10.1.2.255", scope: 0 };
    const peer = { address: "10.9.0.1", prefix: 32, peer: "10.9.0.2", scope: 253 };
    const six = { address: "fd00::3", prefix: 64, flags: 0x2 };
    for (const address of [four, peer, six]) ask(addAddress(eth0, address));
    const shown = pod.ipJson("address show eth0")[0].addr_info;
    expect(shown).toContainEqual(
      expect.objectContaining({ local: "10.1.2.3", prefixlen: 24, broadcast: "10.1.2.255", scope: "global" }),
    );
    expect(shown).toContainEqual(
      expect.objectContaining({ local: "10.9.0.1", address: "10.9.0.2", scope: "link" }),
    );
    const shownSix = shown.find(({ local }: { local: string }) => local === "fd00::3");
    expect(shownSix).toMatchObject({ prefixlen: 64, nodad: true });
    expect(shownSix.tentative).toBeUndefined();
    const ours = read().addresses.filter(({ index }) => index === eth0);
    expect(ours).toContainEqual(expect.objectContaining(four));
    expect(ours).toContainEqual(expect.objectContaining(peer));
    expect(ours).toContainEqual(expect.objectContaining({ address: "fd00::3", prefix: 64, mortal: false }));
    for (const address of [peer, six]) ask(deleteAddress(eth0, address));
    expect(JSON.stringify(pod.ipJson("address show eth0"))).not.toMatch(/10\.9\.0\.1|fd00::3/);
    pod.ip("address add fd00::5/64 dev eth0 valid_lft 1000 preferred_lft 900 nodad");
    expect(read().addresses).toContainEqual(expect.objectContaining({ address: "fd00::5", mortal: true }));
  });

  it("adds routes that ip shows, and reads those of ip", () => {
    const base = { link: eth0, scope: 0, type: 1, metric: 0, onlink: false };
    const routes: RouteSpec[] = [
      { ...base, destination: "10.20.0.0/16", scope: 253, metric: 7 },
      { ...base, destination: "0.0.0.0/0", gateway: "10.1.2.1", source: "10.1.2.3", mtu: 1300 },
      { ...base, destination: "10.30.0.0/16", gateway: "192.168.9.9", onlink: true },
      { ...base, destination: "fd11::/48", metric: 1024 },
      { ...base, destination: "::/0", gateway: "fe80::1", metric: 512 },
      { ...base, destination: "10.40.0.0/16", link: undefined, type: RTN_BLACKHOLE },
      { ...base, destination: "10.50.0.0/16", gateway: "fe80::9" },
    ];
    for (const route of routes) ask(addRoute(route));
    expect(pod.ipJson("route show 10.20.0.0/16")[0]).toMatchObject({ dev: "eth0", scope: "link", metric: 7 });
    expect(pod.ipJson("route show default")[0]).toMatchObject({ gateway: "10.1.2.1", prefsrc: "10.1.2.3" });
    expect(pod.ipJson("route show default")[0].metrics[0]).toMatchObject({ mtu: 1300 });
    expect(pod.ipJson("route show 10.30.0.0/16")[0].flags).toContain("onlink");
    expect(pod.ipJson("route show 10.40.0.0/16")[0]).toMatchObject({ type: "blackhole" });
    expect(pod.ipJson("-6 route show default")[0]).toMatchObject({ gateway: "fe80::1", metric: 512 });
    for (const route of routes) expect(read().routes).toContainEqual(expect.objectContaining(route));
    for (const route of routes) ask(deleteRoute(route));
    for (const { destination } of routes)
      expect(read().routes.map((route) => route.destination)).not.toContain(destination);
    pod.ip("route add 10.60.0.0/16 nexthop via 10.1.2.7 nexthop via 10.1.2.8");
    expect(read().routes).toContainEqual(
      expect.objectContaining({ destination: "10.60.0.0/16", beyond: "several next hops" }),
    );
  });

  it("sets permanent neighbours that ip shows", () => {
    for (const address of ["10.1.2.1", "fd00::1"]) ask(setNeighbour(eth0, address, "02:00:00:00:00:01"));
    expect(pod.ipJson("neigh show dev eth0")).toContainEqual(
      expect.objectContaining({ dst: "10.1.2.1", lladdr: "02:00:00:00:00:01", state: ["PERMANENT"] }),
    );
    expect(read().neighbours).toContainEqual({
      index: eth0,
      address: "fd00::1",
      mac: "02:00:00:00:00:01",
      permanent: true,
    });
    for (const address of ["10.1.2.1", "fd00::1"]) ask(deleteNeighbour(eth0, address));
    expect(pod.ipJson("neigh show dev eth0 nud permanent")).toEqual([]);
  });

  it("adds a filter that tc shows, once", () => {
    ask(addIngress(eth0));
    ask(redirectIngress(eth0, 1, 7));
    expect(session.exchange.ask(addIngress(eth0)).errno).toBe(17);
    const shown = JSON.parse(pod.tc("-j filter show dev eth0 ingress"));
    expect(shown.at(-1)).toMatchObject({
      protocol: "all",
      pref: 7,
      kind: "u32",
      options: {
        match: { value: "0", mask: "0" },
        actions: [{ kind: "mirred", mirred_action: "redirect", direction: "egress", to_dev: "lo" }],
      },
    });
    ask(deleteRedirect(eth0, 7));
    expect(session.exchange.ask(deleteRedirect(eth0, 7)).errno).toBe(2);
    ask(deleteIngress(eth0));
    expect(session.exchange.ask(deleteRedirect(eth0, 7)).errno).toBe(22);
    expect(pod.tc("-j qdisc show dev eth0")).not.toContain("clsact");
  });

  it("has addresses, routes and neighbours of a network by hundreds", () => {
    const routes = Array.from({ length: 600 }, (_, number): RouteSpec => {
      const destination = `10.200.${number >> 8}.${number & 255}/32`;
      return { destination, link: eth0, scope: 253, type: 1, metric: 0, onlink: false };
    });
    const answers = session.exchange.askAll(routes.map(addRoute));
    expect(answers.filter(({ errno }) => errno !== 0)).toEqual([]);
    expect(read().routes.filter(({ destination }) => destination.startsWith("10.200."))).toHaveLength(600);
  });
});
