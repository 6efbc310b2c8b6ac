import { describe, expect, it } from "vitest";
import { type Nic, stepsOf } from "../../../guest/agent/network/network-plan.ts";
import { PrefixRoutes } from "../../../guest/agent/network/prefix-routes.ts";
import {
  NO_NETWORK,
  type PodAddress,
  type PodLink,
  type PodNetwork,
  type PodRoute,
} from "../../../src/contracts/pod-network.ts";

const NICS: Nic[] = [
  { index: 2, name: "eth0" },
  { index: 3, name: "eth1" },
];
const ETH0_MAC = "0a:58:0a:01:00:02";
const address = (text: string, more: Partial<PodAddress> = {}): PodAddress => {
  const [own = "", prefix = "0"] = text.split("/");
  return { address: own, prefix: Number(prefix), scope: 0, ...more };
};
const link = (name: string, ...addresses: PodAddress[]): PodLink => ({
  ...{ name, mac: "0a:58:0a:01:00:02", mtu: 1500 },
  addresses,
});
const route = (destination: string, more: Partial<PodRoute> = {}): PodRoute => ({
  ...{ destination, link: "eth0", scope: 0, type: 1, metric: 0, onlink: false },
  ...more,
});
const direct = route("10.1.0.0/24", { scope: 253, source: "10.1.0.2" });
const gateway = route("0.0.0.0/0", { gateway: "10.1.0.1" });
const BRIDGED: PodNetwork = {
  links: [link("eth0", address("10.1.0.2/24"))],
  routes: [direct, gateway],
  neighbours: [],
};

function steps(after: PodNetwork, before = NO_NETWORK, beforeIsWhole = true, nics = NICS): string[] {
  return stepsOf({ before, beforeIsWhole, after, nics }).map(
    ({ operation, subject }) => `${operation}: ${subject}`,
  );
}

const MADE = [
  "set name, MAC address and MTU of the link: eth0",
  "bring up the link: eth0",
  "set an address: 10.1.0.2/24 of eth0",
  "set a route: 0.0.0.0/0 by 10.1.0.1 on eth0",
];

describe("what the kernel is asked for a network", () => {
  it("is all of it in order, without the routes that the kernel makes", () => {
    expect(steps(BRIDGED)).toEqual(MADE);
  });

  it("is nothing if nothing changes", () => {
    expect(steps(BRIDGED, BRIDGED)).toEqual([]);
    expect(steps(structuredClone(BRIDGED), BRIDGED)).toEqual([]);
    expect(steps(NO_NETWORK)).toEqual([]);
  });

  it("is what is new, or no more", () => {
    const more = { ...BRIDGED, routes: [...BRIDGED.routes, route("10.9.0.0/16", { gateway: "10.1.0.9" })] };
    expect(steps(more, BRIDGED)).toEqual(["set a route: 10.9.0.0/16 by 10.1.0.9 on eth0"]);
    expect(steps(BRIDGED, more)).toEqual(["remove a route: 10.9.0.0/16 by 10.1.0.9 on eth0"]);
    const neighbours = [{ link: "eth0", address: "10.1.0.1", mac: "0a:58:0a:01:00:01" }];
    expect(steps({ ...BRIDGED, neighbours }, BRIDGED)).toEqual(["set a neighbour: 10.1.0.1 on eth0"]);
    expect(steps(BRIDGED, { ...BRIDGED, neighbours })).toEqual(["remove a neighbour: 10.1.0.1 on eth0"]);
    const taller = { ...BRIDGED, links: [{ ...link("eth0", address("10.1.0.2/24")), mtu: 1400 }] };
    expect(steps(taller, BRIDGED)[0]).toBe("set MAC address and MTU of the link: eth0");
  });

  it("sets everything again when an address goes, which takes its routes with it", () => {
    const two = { ...BRIDGED, links: [link("eth0", address("10.1.0.2/24"), address("10.1.0.3/24"))] };
    expect(steps(BRIDGED, two)).toEqual(["remove an address: 10.1.0.3/24 of eth0", ...MADE.slice(2)]);
  });

  it("sets everything again, links too, when the last time was not whole", () => {
    expect(steps(BRIDGED, BRIDGED, false)).toEqual(["take down the link: eth0", ...MADE]);
  });

  it("gives links other names, also those that other interfaces have", () => {
    const swapped = { ...NO_NETWORK, links: [link("eth1"), link("eth0")] };
    expect(steps(swapped)).toEqual([
      "set a link aside: eth0",
      "set a link aside: eth1",
      ...["eth1", "eth0"].flatMap((name) => [
        `set name, MAC address and MTU of the link: ${name}`,
        `bring up the link: ${name}`,
      ]),
    ]);
    const spare = { ...NO_NETWORK, links: [link("eth1")] };
    expect(steps(spare)[0]).toBe("set a link aside: eth1");
  });

  it("takes down a link that goes", () => {
    expect(steps(NO_NETWORK, BRIDGED)).toEqual([
      "remove an address: 10.1.0.2/24 of eth0",
      "remove a route: 10.1.0.0/24 on eth0",
      "remove a route: 0.0.0.0/0 by 10.1.0.1 on eth0",
      "take down the link: eth0",
    ]);
  });

  it.each<[string, Partial<PodNetwork>]>([
    ["find the interface of a link (net2)", { links: [link("net0"), link("net1"), link("net2")] }],
    ['name a link ("eth%d")', { links: [link("eth%d")] }],
    ['name a link ("lo")', { links: [link("lo")] }],
    ['name a link ("..")', { links: [link("..")] }],
    ["find a link (eth7)", { routes: [route("10.0.0.0/8", { link: "eth7" })] }],
    ["set an address (10.1.0/24 of eth0)", { links: [link("eth0", address("10.1.0/24"))] }],
    ["set a route (10.0.0.0/33 on eth0)", { routes: [route("10.0.0.0/33")] }],
    ["set a neighbour (10.1.0.1)", { neighbours: [{ link: "lo", address: "10.1.0.1", mac: ETH0_MAC }] }],
    ["set a neighbour (10.1.0.1 on eth0)", { neighbours: [{ link: "eth0", address: "10.1.0.1", mac: "?" }] }],
  ])("is refused by name: %s", (text, wrong) => {
    expect(() => steps({ ...BRIDGED, ...wrong })).toThrow(`cannot ${text}`);
  });
});

describe("the route that the kernel makes with an address", () => {
  const of = (text: string, more: Partial<PodAddress>, ...routes: PodRoute[]) =>
    new PrefixRoutes({ ...NO_NETWORK, routes }).of("eth0", address(text, more));
  const wanted = (found: PodRoute) => ({ route: found, isUnwanted: false });
  const unwanted = { route: undefined, isUnwanted: true };
  const none = { route: undefined, isUnwanted: false };

  it("is the network's, if it has it", () => {
    const prefix = route("fd00::/60", { metric: 256 });
    expect(of("10.1.0.2/24", {}, gateway, direct)).toEqual(wanted(direct));
    expect(of("fd00::f:2/60", {}, prefix)).toEqual(wanted(prefix));
    const peer = route("192.0.2.2/32", { scope: 253, source: "192.0.2.1" });
    expect(of("192.0.2.1/32", { peer: "192.0.2.2" }, peer)).toEqual(wanted(peer));
  });

  it("is unwanted, if the network's is another one or none", () => {
    for (const other of [
      { metric: 5 },
      { mtu: 1400 },
      { source: "10.1.0.9" },
      { onlink: true },
      { link: "eth1" },
    ])
      expect(of("10.1.0.2/24", {}, { ...direct, ...other })).toEqual(unwanted);
    expect(of("10.1.0.2/24", {})).toEqual(unwanted);
    expect(of("fd00::2/128", {})).toEqual(unwanted);
    expect(of("fd00::2/64", { peer: "fd00::3" }, route("fd00::/64", { metric: 256 }))).toEqual(unwanted);
  });

  it("is none for an address that is its whole network", () => {
    expect(of("10.1.0.2/32", {})).toEqual(none);
  });
});
