import { describe, expect, it } from "vitest";
import type { AddressRecord } from "../../../../src/protocol/netlink/addresses.ts";
import type { LinkRecord } from "../../../../src/protocol/netlink/links.ts";
import type { RouteRecord } from "../../../../src/protocol/netlink/routes.ts";
import { hostPlan } from "../../../../src/workers/network/host-plan.ts";

const LOOPBACK = 772;

function link(index: number, name: string, changes: Partial<LinkRecord> = {}): LinkRecord {
  const mac = `02:00:00:00:00:0${index}`;
  return { index, name, kind: "", type: 1, up: true, mac, mtu: 1500, ...changes } as LinkRecord;
}

function address(index: number, text: string, changes: Partial<AddressRecord> = {}): AddressRecord {
  const family = text.includes(":") ? 10 : 2;
  const rest = { peer: undefined, broadcast: undefined, scope: 0, flags: 0, mortal: false };
  return { index, address: text, family, prefix: family === 2 ? 24 : 64, ...rest, ...changes };
}

function route(destination: string, changes: Partial<RouteRecord> = {}): RouteRecord {
  const family = destination.includes(":") ? 10 : 2;
  return { family, destination, type: 1, metric: 0, link: 2, source: undefined, ...changes } as RouteRecord;
}

const lo = link(1, "lo", { type: LOOPBACK, mac: undefined });
const eth0 = link(2, "eth0");
const plan = (records: { links?: LinkRecord[]; addresses: AddressRecord[]; routes?: RouteRecord[] }) =>
  hostPlan({ links: records.links ?? [lo, eth0], routes: [], neighbours: [], ...records }, [1, 0]);
const addressesOf = (made: ReturnType<typeof plan>) =>
  made?.network.links[0]?.addresses.map((one) => one.address);

describe("what a guest has of the host's network", () => {
  it("is the default route's link with an address of each family, and the gateways", () => {
    const made = plan({
      addresses: [address(2, "10.0.0.7"), address(2, "fd00::7"), address(2, "fe80::7", { scope: 253 })],
      routes: [
        route("10.0.0.0/24"),
        route("0.0.0.0/0", { gateway: "10.0.0.1" }),
        route("::/0", { gateway: "fe80::1" }),
      ],
    });
    expect(made).toMatchObject({ link: "eth0", mac: "02:00:00:00:00:02", warnings: [] });
    expect(addressesOf(made)).toEqual(["10.0.0.7", "fd00::7"]);
    expect(made?.network.routes).toMatchObject([
      { destination: "0.0.0.0/0", gateway: "10.0.0.1", link: "eth0", onlink: true },
      { destination: "::/0", gateway: "fe80::1", link: "eth0", onlink: false },
    ]);
  });

  it("is that of the route which the kernel prefers, with the source that it names", () => {
    const made = plan({
      links: [lo, eth0, link(3, "wlan0")],
      addresses: [address(2, "10.0.0.7"), address(3, "10.1.0.7"), address(3, "10.1.0.8")],
      routes: [
        route("0.0.0.0/0", { gateway: "10.0.0.1", metric: 600 }),
        route("0.0.0.0/0", { gateway: "10.1.0.1", metric: 100, link: 3, source: "10.1.0.8" }),
      ],
    });
    expect(made?.link).toBe("wlan0");
    expect(addressesOf(made)).toEqual(["10.1.0.8"]);
    expect(made?.warnings).toEqual([expect.stringContaining("10.0.0.7, 10.1.0.7")]);
  });

  it("is no address that cannot be sent from, and a lasting one before a temporary one", () => {
    const made = plan({
      addresses: [
        address(2, "fd00::1", { flags: 0x40 }),
        address(2, "fd00::2", { flags: 0x20 }),
        address(2, "fd00::3", { flags: 0x01, mortal: true }),
        address(2, "fd00::4", { mortal: true }),
      ],
    });
    expect(addressesOf(made)).toEqual(["fd00::4"]);
  });

  it("is the first link with an address on a host without a default route, which is told", () => {
    const made = plan({ links: [lo, link(3, "dummy0"), eth0], addresses: [address(2, "10.0.0.7")] });
    expect(made?.link).toBe("eth0");
    expect(made?.network.routes).toMatchObject([{ destination: "0.0.0.0/0", scope: 253 }]);
    expect(made?.warnings).toEqual(["the host has no default route"]);
  });

  it("takes a family's address from another link if that has its default route", () => {
    const made = plan({
      links: [lo, eth0, link(3, "tun0", { type: 65534, mac: undefined })],
      addresses: [address(2, "10.0.0.7"), address(3, "fd00::7")],
      routes: [route("0.0.0.0/0", { gateway: "10.0.0.1" }), route("::/0", { link: 3 })],
    });
    expect(made).toMatchObject({ link: "eth0", v6: { address: "fd00::7", gateway: undefined } });
  });

  it("has a MAC address of its own where the host's link has none", () => {
    const links = [lo, link(2, "ppp0", { type: 512, mac: undefined })];
    expect(plan({ links, addresses: [address(2, "10.0.0.7")] })?.mac).toMatch(/^02:/);
  });

  it("is nothing on a host that has loopback's addresses alone", () => {
    expect(plan({ addresses: [address(1, "127.0.0.1", { scope: 254 })] })).toBeUndefined();
  });
});
