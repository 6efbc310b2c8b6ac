/**
 * The routes that the kernel makes by itself when an address is set: one to the network that the address is in.
 *
 * A pod's namespace has them, or not: plugins take them away. So each address is set with or without its route, and the
 * kernel's word for "without" is IFA_F_NOPREFIXROUTE. Pure.
 */
import type { PodAddress, PodNetwork, PodRoute } from "../../../src/contracts/pod-network.ts";
import { familyOf, ipBytes, ipText } from "../../../src/protocol/netlink/address-text.ts";
import {
  AF_INET,
  RT_SCOPE_LINK,
  RT_SCOPE_UNIVERSE,
  RTN_UNICAST,
} from "../../../src/protocol/netlink/constants.ts";

/** The metric of the routes that the kernel makes for an IPv6 prefix. */
const ADDRCONF_METRIC = 256;
const IP4_BITS = 32;

export class PrefixRoutes {
  private readonly routes = new Map<string, PodRoute>();

  constructor(network: PodNetwork) {
    for (const route of network.routes) {
      const { link, destination, source } = route;
      if (isPlain(route)) this.routes.set(keyOf(link, destination, source), route);
    }
  }

  /** The network's route that comes with an address. */
  of(link: string, { address, prefix, peer }: PodAddress): PodRoute | undefined {
    const own = ipBytes(address);
    const other = ipBytes(peer ?? address);
    if (own === undefined || other === undefined) return undefined;
    const isIp4 = familyOf(own) === AF_INET;
    // with a peer it makes two
    if (!isIp4 && peer !== undefined) return undefined;
    const destination = `${ipText(masked(other, prefix)) ?? ""}/${prefix}`;
    return this.routes.get(keyOf(link, destination, isIp4 ? address : undefined));
  }

  /** The kernel would make a route, and the network has none like it. */
  isUnwanted(link: string, address: PodAddress): boolean {
    if (address.prefix === IP4_BITS && address.peer === undefined && !address.address.includes(":"))
      return false;
    return this.of(link, address) === undefined;
  }
}

function isPlain({ destination, type, gateway, mtu, onlink, scope, metric }: PodRoute): boolean {
  if (type !== RTN_UNICAST || gateway !== undefined || mtu !== undefined || onlink) return false;
  const isIp6 = destination.includes(":");
  return scope === (isIp6 ? RT_SCOPE_UNIVERSE : RT_SCOPE_LINK) && metric === (isIp6 ? ADDRCONF_METRIC : 0);
}

function keyOf(link: string, destination: string, source: string | undefined): string {
  return `${link} ${destination} ${source ?? ""}`;
}

function masked(address: Uint8Array, prefix: number): Uint8Array {
  return address.map((byte, index) => {
    const bits = Math.min(Math.max(prefix - 8 * index, 0), 8);
    return byte & (0xff << (8 - bits));
  });
}
