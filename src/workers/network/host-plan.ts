/**
 * What of the host's network a pod with hostNetwork gets: a pure reading of the kernel's records, rtnetlink(7).
 *
 * The guest has one link in the place of the one that the host's default routes use, with its name and MAC address, one
 * address of each family, and default routes. Everything goes to the host's own sockets from there, so the host's routing
 * tables decide. It must not depend on the helper process, which is started meanwhile.
 */
import type { HostFamily, HostPlan } from "../../contracts/host-networks.ts";
import type { PodAddress, PodNetwork, PodRoute } from "../../contracts/pod-network.ts";
import type { AddressRecord } from "../../protocol/netlink/addresses.ts";
import {
  AF_INET,
  AF_INET6,
  ARPHRD_LOOPBACK,
  IFA_F_DADFAILED,
  IFA_F_DEPRECATED,
  IFA_F_SECONDARY,
  IFA_F_TENTATIVE,
  RT_SCOPE_LINK,
  RT_SCOPE_UNIVERSE,
  RTN_UNICAST,
} from "../../protocol/netlink/constants.ts";
import type { LinkRecord } from "../../protocol/netlink/links.ts";
import type { NetworkRecords } from "../../protocol/netlink/pod-network.ts";
import type { RouteRecord } from "../../protocol/netlink/routes.ts";

/**
 * The largest that pasta carries. It ends each connection and hands on bytes, not frames, so the host's own MTU does not
 * matter to it, and it takes no fragments.
 */
const MTU = 65_520;
/** For a link whose addresses are no MAC addresses, such as a tunnel. */
const OWN_MAC = "02:b1:a2:00:00:01";
const LINK_LOCAL = /^fe[89ab]/i;

/** Undefined for a host without any address but loopback's. */
export function hostPlan(records: NetworkRecords, pingGroups: HostPlan["pingGroups"]): HostPlan | undefined {
  const defaults = { v4: defaultRoute(records, AF_INET), v6: defaultRoute(records, AF_INET6) };
  const link = chosenLink(records, defaults.v4 ?? defaults.v6);
  if (link === undefined) return undefined;
  const v4 = familyOf(records, link, AF_INET, defaults.v4);
  const v6 = familyOf(records, link, AF_INET6, defaults.v6);
  const { name, mac = OWN_MAC } = link;
  const addresses = [v4, v6].flatMap((family): PodAddress[] =>
    family === undefined
      ? []
      : [{ address: family.address, prefix: family.prefix, scope: RT_SCOPE_UNIVERSE }],
  );
  const network: PodNetwork = {
    links: [{ name, mac, mtu: MTU, addresses }],
    routes: [...routesOf(name, "0.0.0.0/0", v4), ...routesOf(name, "::/0", v6)],
    neighbours: [],
  };
  const warnings = [
    ...(defaults.v4 === undefined && defaults.v6 === undefined ? [`the host has no default route`] : []),
    ...leftOut(records, [v4, v6]),
  ];
  return { link: name, mac, mtu: MTU, v4, v6, network, pingGroups, warnings };
}

/** The one that the kernel prefers. */
function defaultRoute({ routes }: NetworkRecords, family: number): RouteRecord | undefined {
  const destination = family === AF_INET ? "0.0.0.0/0" : "::/0";
  return routes
    .filter((route) => route.family === family && route.destination === destination)
    .filter(({ type, link }) => type === RTN_UNICAST && link !== undefined)
    .sort((a, b) => a.metric - b.metric)[0];
}

/** The default route's, else the first that has an address. */
function chosenLink(records: NetworkRecords, route: RouteRecord | undefined): LinkRecord | undefined {
  const usable = records.links.filter(({ up, type }) => up && type !== ARPHRD_LOOPBACK);
  const routed = usable.find(({ index }) => index === route?.link);
  return routed ?? usable.find((link) => addressesOf(records, link.index).length > 0);
}

/** Those that can be sent from, the best first. */
function addressesOf({ addresses }: NetworkRecords, link: number, family?: number): AddressRecord[] {
  const unusable = IFA_F_TENTATIVE | IFA_F_DADFAILED | IFA_F_DEPRECATED;
  return addresses
    .filter((one) => one.index === link && (family === undefined || one.family === family))
    .filter(({ scope, flags }) => scope === RT_SCOPE_UNIVERSE && (flags & unusable) === 0)
    .sort((a, b) => rankOf(a) - rankOf(b));
}

/** Temporary IPv6 addresses and secondary IPv4 addresses have the same flag. */
function rankOf({ flags, mortal }: AddressRecord): number {
  return ((flags & IFA_F_SECONDARY) === 0 ? 0 : 2) + (mortal ? 1 : 0);
}

/** An address of the chosen link if it has one, else of the one that this family's default route uses. */
function familyOf(
  records: NetworkRecords,
  { index }: LinkRecord,
  family: number,
  route: RouteRecord | undefined,
): HostFamily | undefined {
  const candidates = [
    ...addressesOf(records, index, family),
    ...(route?.link === undefined || route.link === index ? [] : addressesOf(records, route.link, family)),
  ];
  const preferred = candidates.find(({ address }) => address === route?.source);
  const chosen = preferred ?? candidates[0];
  if (chosen === undefined) return undefined;
  return { address: chosen.address, prefix: chosen.prefix, gateway: route?.gateway };
}

/** The default route; a gateway need not be in the address's network, so it is said to be on the link. */
function routesOf(link: string, destination: string, family: HostFamily | undefined): PodRoute[] {
  if (family === undefined) return [];
  const { gateway } = family;
  const scope = gateway === undefined && destination === "0.0.0.0/0" ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE;
  const via = gateway === undefined ? {} : { gateway };
  const onlink = gateway !== undefined && !LINK_LOCAL.test(gateway);
  return [{ destination, link, ...via, scope, type: RTN_UNICAST, metric: 0, onlink }];
}

/** The guest has one address of each family: pasta sends what comes in to the one that was used last. */
function leftOut(records: NetworkRecords, families: readonly (HostFamily | undefined)[]): string[] {
  const had = new Set(families.map((family) => family?.address));
  const others = records.links
    .filter(({ up, type }) => up && type !== ARPHRD_LOOPBACK)
    .flatMap(({ index }) => addressesOf(records, index))
    .filter(({ address }) => !had.has(address));
  return others.length === 0
    ? []
    : [
        `these addresses of the host are not in the guest: ${others.map(({ address }) => address).join(", ")}`,
      ];
}
