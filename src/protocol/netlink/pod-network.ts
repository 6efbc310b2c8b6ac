/**
 * A network as the kernel has it, and as the ports say it (contracts/pod-network.ts), for host and guest.
 *
 * Both read the same records with the same functions, so that what the guest has can be compared with what it shall have.
 */
import type { PodAddress, PodRoute } from "../../contracts/pod-network.ts";
import { type AddressRecord, addressOf, getAddresses } from "./addresses.ts";
import {
  AF_INET,
  AF_INET6,
  RT_TABLE_LOCAL,
  RT_TABLE_MAIN,
  RTN_LOCAL,
  RTN_UNICAST,
  RTPROT_KERNEL,
  RTPROT_UNSPEC,
} from "./constants.ts";
import type { NetlinkExchange } from "./exchange.ts";
import { type LinkSettings, linkSettingsOf } from "./link-settings.ts";
import { getLinks, type LinkRecord, linkOf } from "./links.ts";
import { getNeighbours, type NeighbourRecord, neighbourOf } from "./neighbours.ts";
import { getRoutes, type RouteRecord, routeOf } from "./routes.ts";

/** All of a namespace that a pod's network is made of. */
export interface NetworkRecords {
  readonly links: readonly (LinkRecord & { readonly settings?: LinkSettings })[];
  readonly addresses: readonly AddressRecord[];
  /** Those of the main table which somebody can have made, and the local ones that somebody has made. */
  readonly routes: readonly RouteRecord[];
  readonly neighbours: readonly NeighbourRecord[];
}

/** Reads the whole namespace. Throws what {@link NetlinkExchange.dump} throws. */
export function readRecords(exchange: NetlinkExchange): NetworkRecords {
  const routes = [AF_INET, AF_INET6].flatMap((family) => exchange.dump(getRoutes(family)).map(routeOf));
  return {
    links: exchange
      .dump(getLinks())
      .map((message) => ({ ...linkOf(message), settings: linkSettingsOf(message) })),
    addresses: exchange.dump(getAddresses()).map(addressOf),
    routes: routes.filter(isSomebodys),
    neighbours: exchange.dump(getNeighbours()).flatMap((message) => neighbourOf(message) ?? []),
  };
}

/** The kernel makes local, broadcast, anycast and multicast routes of its own; old ones leave their protocol out. */
function isSomebodys({ table, type, protocol, beyond, cloned }: RouteRecord): boolean {
  if (cloned) return false;
  const kernels = protocol === RTPROT_KERNEL || protocol === RTPROT_UNSPEC;
  if (table === RT_TABLE_LOCAL) return type === RTN_LOCAL && !kernels;
  return table === RT_TABLE_MAIN && !(kernels && beyond?.startsWith("the type ") === true);
}

export function podAddressOf({ address, prefix, peer, broadcast, scope }: AddressRecord): PodAddress {
  return {
    address,
    prefix,
    ...(peer === undefined ? {} : { peer }),
    ...(broadcast === undefined ? {} : { broadcast }),
    scope,
  };
}

/** @param nameOf the name of a link by its index */
export function podRouteOf(route: RouteRecord, nameOf: (index: number) => string | undefined): PodRoute {
  const { destination, link, gateway, source, scope, type, metric, mtu, onlink } = route;
  // the kernel has IPv6 routes without a link on lo
  const name = type === RTN_UNICAST && link !== undefined ? nameOf(link) : undefined;
  return {
    destination,
    link: name ?? "",
    ...(gateway === undefined ? {} : { gateway }),
    ...(source === undefined ? {} : { source }),
    scope,
    type,
    metric,
    ...(mtu === undefined ? {} : { mtu }),
    onlink,
  };
}

/** Routes in an order in which they can be made: a gateway is reached by a route that has none. */
export function inMakingOrder(routes: readonly PodRoute[]): PodRoute[] {
  const direct = (route: PodRoute) => route.gateway === undefined;
  return [...routes.filter(direct), ...routes.filter((route) => !direct(route))];
}
