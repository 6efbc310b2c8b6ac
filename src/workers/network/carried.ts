/**
 * What of a network namespace a guest can have, and the error for what it cannot: a pure reading of the kernel's records.
 *
 * A link without addresses that is not up is nobody's, such as the tunnels that the kernel makes in each namespace. What is
 * left out otherwise is named in an error, so that no pod runs with less than its plugins have made.
 */
import { type BlazarError, blazarError } from "../../contracts/errors.ts";
import type { PodLink, PodNeighbour, PodNetwork, PodRoute } from "../../contracts/pod-network.ts";
import { NETWORK_LIMITS } from "../../protocol/guest/network.ts";
import {
  ARPHRD_ETHER,
  ARPHRD_LOOPBACK,
  IFA_F_DADFAILED,
  RTN_UNICAST,
  RTN_UNREACHABLE,
  RTPROT_KERNEL,
} from "../../protocol/netlink/constants.ts";
import type { LinkRecord } from "../../protocol/netlink/links.ts";
import {
  inMakingOrder,
  type NetworkRecords,
  podAddressOf,
  podRouteOf,
} from "../../protocol/netlink/pod-network.ts";
import type { RouteRecord } from "../../protocol/netlink/routes.ts";
import type { RuleRecord } from "../../protocol/netlink/rules.ts";

/** Kinds of links that pass whole Ethernet frames, by the words for them. "" is a device that was moved here. */
const CARRIED_KINDS: ReadonlyMap<string, string> = new Map([
  ["", "network device"],
  ["veth", "veth"],
  ["macvlan", "macvlan"],
  ["ipvlan", "ipvlan"],
  ["vlan", "vlan"],
  ["dummy", "dummy"],
  ["tun", "tap"],
]);
const LEAST_MTU = 68;
const MOST_MTU = 65_535;
/** A tap's own: 65,535 less the Ethernet header (drivers/net/tun.c). What filters pass is not measured by it. */
const MOST_TAP_MTU = 65_521;
const IPVLAN_L2 = 0;
/** The kernel's own rules: local, main, default. */
const KERNEL_RULES: ReadonlySet<number> = new Set([0, 32_766, 32_767]);
/** The route that the kernel keeps behind all others. */
const LAST_METRIC = 0xffff_ffff;

const OWN_TAP = /^blazar\d$/;

/** The name of tap number n in a pod's namespace. */
export function tapName(number: number): string {
  return `blazar${number}`;
}

/** The MTU of the tap beside a link. */
export function tapMtu(mtu: number): number {
  return Math.min(mtu, MOST_TAP_MTU);
}

export function isOwnTap({ name, kind }: LinkRecord): boolean {
  return kind === "tun" && OWN_TAP.test(name);
}

/** Links that a guest is to have, in the order of its NICs. Throws UnsupportedSpec. */
export function carriedLinks({ links, addresses }: NetworkRecords): LinkRecord[] {
  const carried = links.filter(
    (link) =>
      link.type !== ARPHRD_LOOPBACK &&
      !isOwnTap(link) &&
      (link.up || addresses.some(({ index }) => index === link.index)),
  );
  for (const link of carried) checkLink(link, carried);
  atMost(carried.length, NETWORK_LIMITS.links, "links");
  return carried;
}

/** Throws UnsupportedSpec for what the guest could not have. */
export function networkOf(records: NetworkRecords, rules: readonly RuleRecord[]): PodNetwork {
  const rule = rules.find(({ priority }) => !KERNEL_RULES.has(priority));
  if (rule !== undefined)
    throw unsupported(
      `rule ${rule.priority}, which chooses table ${rule.table}`,
      "remove the plugin that makes it",
    );
  const links = carriedLinks(records);
  const own = ownOfLoopback(records);
  if (own !== undefined) throw unsupported(`${own}, an address of lo`, "give it to another link");
  const beyond = records.routes.find((route) => isWanted(route, links) && route.beyond !== undefined);
  if (beyond !== undefined) throw unsupported(`the route to ${beyond.destination}: it has ${beyond.beyond}`);
  const network = networkWith(records, links);
  atMost(
    network.links.reduce((sum, link) => sum + link.addresses.length, 0),
    NETWORK_LIMITS.addresses,
    "addresses",
  );
  atMost(network.routes.length, NETWORK_LIMITS.routes, "routes");
  atMost(network.neighbours.length, NETWORK_LIMITS.neighbours, "permanent neighbours");
  return network;
}

/** The network of these links alone, without what cannot be carried. */
export function networkWith(records: NetworkRecords, links: readonly LinkRecord[]): PodNetwork {
  const names = new Map(links.map(({ index, name }) => [index, name]));
  const loopback = records.links.find(({ type }) => type === ARPHRD_LOOPBACK);
  if (loopback !== undefined) names.set(loopback.index, loopback.name);
  const routes = records.routes
    .filter((route) => isWanted(route, links, loopback) && route.beyond === undefined)
    .map((route): PodRoute => podRouteOf(route, (index) => names.get(index)));
  const neighbours = records.neighbours.flatMap(({ index, address, mac, permanent }): PodNeighbour[] => {
    const link = links.find((one) => one.index === index);
    return permanent && mac !== undefined && link !== undefined ? [{ link: link.name, address, mac }] : [];
  });
  return { links: links.map((link) => podLinkOf(link, records)), routes: inMakingOrder(routes), neighbours };
}

/** An address of lo that no guest's lo answers to by itself. */
function ownOfLoopback({ links, addresses }: NetworkRecords): string | undefined {
  const loopback = links.find(({ type }) => type === ARPHRD_LOOPBACK);
  const own = addresses.find(({ index, address }) => index === loopback?.index && !isLoopback(address));
  return own?.address;
}

function isLoopback(address: string): boolean {
  return address === "::1" || /^127\.[\d.]+$/.test(address);
}

function podLinkOf({ index, name, mac = "", mtu }: LinkRecord, { addresses }: NetworkRecords): PodLink {
  // another machine has this address, and the kernel does not use it either
  const usable = addresses.filter((address) => address.index === index && !(address.flags & IFA_F_DADFAILED));
  return { name, mac, mtu, addresses: usable.map(podAddressOf) };
}

function isWanted(route: RouteRecord, links: readonly LinkRecord[], loopback?: LinkRecord): boolean {
  if (route.beyond === "several next hops") return true;
  if (route.type !== RTN_UNICAST) {
    const kernels = route.protocol === RTPROT_KERNEL && route.type === RTN_UNREACHABLE;
    return !(kernels && route.metric === LAST_METRIC);
  }
  return route.link === loopback?.index || links.some(({ index }) => index === route.link);
}

/** @param carried all links of the guest: what comes in on one is the guest's, and never gets to a link above it */
function checkLink(link: LinkRecord, carried: readonly LinkRecord[]): void {
  const { name, kind, type, mtu, mac, ipvlanMode, above } = link;
  if (OWN_TAP.test(name))
    throw unsupported(`${name}: blazar's own taps are called so`, "give it another name");
  const words = CARRIED_KINDS.get(kind);
  if (words === undefined || type !== ARPHRD_ETHER) {
    const what =
      words === undefined
        ? `a link of kind ${kind}`
        : `no Ethernet link (kind ${kind || "none"}, type ${type})`;
    throw unsupported(`${name}: it is ${what}`, `use one of ${[...CARRIED_KINDS.values()].join(", ")}`);
  }
  const lower = carried.find(({ index }) => index === above);
  if (lower !== undefined)
    throw unsupported(
      `${name}: a ${kind} above ${lower.name}, which is the pod's, too`,
      "make it on the host",
    );
  if (ipvlanMode !== undefined && ipvlanMode !== IPVLAN_L2)
    throw unsupported(`${name}: an ipvlan without Ethernet frames`, 'use "mode": "l2"');
  if (mtu < LEAST_MTU || mtu > MOST_MTU)
    throw unsupported(`${name}: an MTU of ${mtu}`, `set one from ${LEAST_MTU} to ${MOST_MTU}`);
  if (mac === undefined) throw unsupported(`${name}: it has no MAC address`);
}

function atMost(count: number, limit: number, what: string): void {
  if (count > limit) throw unsupported(`${count} ${what}`, `there may be ${limit} at most`);
}

function unsupported(what: string, remedy?: string): BlazarError {
  return blazarError("UnsupportedSpec", "carry a pod's network into its VM", what, { remedy });
}
