/**
 * The routes that the kernel makes by itself when an address is set: one to the network that the address is in.
 *
 * A pod's namespace has them, or not: plugins take them away. So each address is set with or without its route, and the
 * kernel's word for "without" is IFA_F_NOPREFIXROUTE. Pure.
 */
import type { PodAddress, PodNetwork, PodRoute } from "../../../src/contracts/pod-network.ts";
import { ipBytes, ipText } from "../../../src/protocol/netlink/address-text.ts";
import { RT_SCOPE_LINK, RT_SCOPE_UNIVERSE, RTN_UNICAST } from "../../../src/protocol/netlink/constants.ts";

/** The metric of the routes that the kernel makes for an IPv6 prefix. */
const ADDRCONF_METRIC = 256;
const IP4_BITS = 32;

export interface PrefixRoute {
  readonly route: PodRoute | undefined;
  readonly isUnwanted: boolean;
}

export class PrefixRoutes {
  private readonly routes = new Map<string, PodRoute>();

  constructor(network: PodNetwork) {
    for (const route of network.routes) {
      const { link, destination, source } = route;
      if (isPlain(route)) this.routes.set(keyOf(link, destination, source), route);
    }
  }

  /** The network's route that comes with an address; `isUnwanted`: the kernel would make one that the network lacks. */
  of(link: string, { address, prefix, peer }: PodAddress): PrefixRoute {
    const isIp4 = !address.includes(":");
    if (peer === undefined ? isIp4 && prefix === IP4_BITS : !isIp4)
      return { route: undefined, isUnwanted: peer !== undefined };
    const bytes = ipBytes(peer ?? address);
    // refused when the request is written
    if (bytes === undefined) return { route: undefined, isUnwanted: true };
    const destination = `${ipText(masked(bytes, prefix)) ?? ""}/${prefix}`;
    const route = this.routes.get(keyOf(link, destination, isIp4 ? address : undefined));
    return { route, isUnwanted: route === undefined };
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
  const network = new Uint8Array(address.length);
  const whole = prefix >> 3;
  network.set(address.subarray(0, whole));
  if (whole < network.length) network[whole] = (address[whole] ?? 0) & (0xff00 >> (prefix & 7));
  return network;
}
