import { describe, expect, it } from "vitest";
import type { AddressRecord } from "../../../../src/protocol/netlink/addresses.ts";
import type { LinkRecord } from "../../../../src/protocol/netlink/links.ts";
import type { NetworkRecords } from "../../../../src/protocol/netlink/pod-network.ts";
import type { RouteRecord } from "../../../../src/protocol/netlink/routes.ts";
import { isOwnTap, networkOf, tapName } from "../../../../src/workers/network/carried.ts";

function link(index: number, changes: Partial<LinkRecord> = {}): LinkRecord {
  return {
    index,
    name: `net${index}`,
    kind: "veth",
    type: 1,
    flags: 1,
    up: true,
    mtu: 1500,
    mac: "02:00:00:00:00:01",
    permanentMac: undefined,
    addressMode: 0,
    ipvlanMode: undefined,
    above: undefined,
    ...changes,
  };
}

function address(index: number, text: string, changes: Partial<AddressRecord> = {}): AddressRecord {
  const rest = {
    family: 2,
    prefix: 24,
    peer: undefined,
    broadcast: undefined,
    scope: 0,
    flags: 0,
    mortal: false,
  };
  return { index, address: text, ...rest, ...changes };
}

function route(destination: string, changes: Partial<RouteRecord> = {}): RouteRecord {
  return {
    family: 2,
    destination,
    table: 254,
    protocol: 3,
    scope: 0,
    type: 1,
    link: 2,
    gateway: undefined,
    source: undefined,
    metric: 0,
    mtu: undefined,
    onlink: false,
    cloned: false,
    beyond: undefined,
    ...changes,
  };
}

const LO = link(1, { name: "lo", kind: "", type: 772, mac: "00:00:00:00:00:00" });

function records(changes: Partial<NetworkRecords> = {}): NetworkRecords {
  return { links: [LO, link(2)], addresses: [], routes: [], neighbours: [], ...changes };
}

const refusal = (changes: Partial<LinkRecord>): string => {
  try {
    networkOf(records({ links: [LO, link(2, changes)] }), []);
    return "";
  } catch (error) {
    return (error as Error).message;
  }
};

describe("a guest's network", () => {
  it("has no lo, none of our taps, and no link that nobody has set up", () => {
    const links = [
      LO,
      link(2),
      link(3, { name: tapName(0), kind: "tun" }),
      link(4, { name: "gretap0", kind: "gretap", up: false }),
      link(5, { name: "sit0", kind: "sit", type: 776, up: false }),
    ];
    expect(networkOf(records({ links }), []).links.map(({ name }) => name)).toEqual(["net2"]);
    expect(isOwnTap(link(3, { name: "blazar0", kind: "veth" }))).toBe(false);
  });

  it("has a link that is down but has an address", () => {
    const addresses = [address(2, "10.0.0.2")];
    const links = [LO, link(2, { up: false })];
    expect(networkOf(records({ links, addresses }), []).links).toHaveLength(1);
  });

  it("does not have an address that another machine has", () => {
    const addresses = [
      address(2, "fd00::2", { flags: 0x8 }),
      address(2, "fd00::3", { flags: 0x40 }),
      address(1, "127.0.0.1"),
    ];
    const [only] = networkOf(records({ addresses }), []).links;
    expect(only?.addresses.map((one) => one.address)).toEqual(["fd00::3"]);
  });

  it("has routes of its links and of lo, those without a gateway first, and not the kernel's last one", () => {
    const routes = [
      route("0.0.0.0/0", { gateway: "10.0.0.1" }),
      route("10.0.0.0/24", { scope: 253 }),
      route("10.9.0.0/16", { link: 9 }),
      route("192.0.2.0/24", { link: 1 }),
      route("10.7.0.0/16", { type: 7, link: 1 }),
      route("::/0", { family: 10, type: 7, protocol: 2, metric: 0xffff_ffff, link: 1 }),
    ];
    const network = networkOf(records({ routes }), []);
    expect(network.routes.map(({ destination, link: name }) => [destination, name])).toEqual([
      ["10.0.0.0/24", "net2"],
      ["192.0.2.0/24", "lo"],
      ["10.7.0.0/16", ""],
      ["0.0.0.0/0", "net2"],
    ]);
  });

  it("has permanent neighbours alone", () => {
    const mac = "02:00:00:00:00:09";
    const neighbours = [
      { index: 2, address: "10.0.0.1", mac, permanent: true },
      { index: 2, address: "10.0.0.3", mac, permanent: false },
      { index: 2, address: "10.0.0.4", mac: undefined, permanent: true },
      { index: 1, address: "127.0.0.2", mac, permanent: true },
    ];
    const found = networkOf(records({ neighbours }), []).neighbours;
    expect(found).toEqual([{ link: "net2", address: "10.0.0.1", mac }]);
  });

  it.each([
    [{ kind: "wireguard", type: 65534, name: "wg0" }, /wg0: it is a link of kind wireguard.*veth, macvlan/],
    [{ kind: "vrf", name: "red" }, /red: it is a link of kind vrf/],
    [{ kind: "tun", type: 65534 }, /net2: it is no Ethernet link/],
    [{ kind: "ipvlan", ipvlanMode: 1 }, /ipvlan without Ethernet.*l2/],
    [{ mtu: 67 }, /MTU of 67; set one from 68 to 65535/],
    [{ mtu: 65_536 }, /MTU of 65536/],
    [{ mac: undefined }, /no MAC address/],
    [{ name: "blazar0" }, /blazar0: blazar's own taps are called so/],
  ])("does not come to be of %o", (changes, words) => {
    expect(refusal(changes)).toMatch(words);
  });

  it.each([
    { kind: "ipvlan", ipvlanMode: 0 },
    { kind: "" },
    { kind: "vlan" },
    { kind: "dummy" },
    { mtu: 68 },
    { mtu: 65_535 },
  ])("comes to be of %o", (changes) => {
    expect(refusal(changes)).toBe("");
  });

  it("is refused if one of its links is above another one, which takes what comes in", () => {
    const links = [LO, link(2), link(3, { kind: "macvlan", above: 2 })];
    expect(() => networkOf(records({ links }), [])).toThrow(/net3: a macvlan above net2.*on the host/);
    // one that is nobody's takes nothing
    const idle = [LO, link(2, { up: false }), link(3, { kind: "macvlan", above: 2 })];
    expect(networkOf(records({ links: idle }), []).links).toHaveLength(1);
  });

  it("is refused if lo has an address that a guest's has not", () => {
    const own = (...texts: string[]) => records({ addresses: texts.map((text) => address(1, text)) });
    expect(networkOf(own("127.0.0.1", "::1", "127.7.0.1"), []).links).toHaveLength(1);
    expect(() => networkOf(own("127.0.0.1", "10.6.0.1"), [])).toThrow(/10\.6\.0\.1, an address of lo/);
    expect(() => networkOf(own("::1", "fd06::1"), [])).toThrow(/fd06::1, an address of lo/);
  });

  it("is refused for what cannot be said of a route, and for rules", () => {
    const beyond = records({
      routes: [route("10.9.0.0/16", { beyond: "several next hops", link: undefined })],
    });
    expect(() => networkOf(beyond, [])).toThrow(/10\.9\.0\.0\/16: it has several next hops/);
    const kernels = [0, 32_766, 32_767].map((priority) => ({ family: 2, priority, table: 254 }));
    expect(networkOf(records(), kernels).links).toHaveLength(1);
    expect(() => networkOf(records(), [...kernels, { family: 2, priority: 512, table: 100 }])).toThrow(
      /rule 512.*table 100/,
    );
  });

  it("is refused if it is more than a guest takes, by name", () => {
    const many = (count: number) => Array.from({ length: count }, (_, number) => number);
    const links = [LO, ...many(9).map((number) => link(number + 2))];
    expect(() => networkOf(records({ links }), [])).toThrow(/9 links; there may be 8/);
    const addresses = many(257).map((number) => address(2, `10.0.${number >> 8}.${number & 255}`));
    expect(() => networkOf(records({ addresses }), [])).toThrow(/257 addresses; there may be 256/);
    const routes = many(1025).map((number) => route(`10.${number >> 8}.${number & 255}.0/24`));
    expect(() => networkOf(records({ routes }), [])).toThrow(/1025 routes; there may be 1024/);
  });
});
