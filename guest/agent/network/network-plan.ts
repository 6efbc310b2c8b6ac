/**
 * What the kernel is asked so that a guest has the network of its pod: rtnetlink(7).
 *
 * Pure. Everything is named explicitly, and the kernel may add nothing by itself: no link-local address, no duplicate address
 * detection, no route of an address's prefix that the pod's namespace does not have.
 */
import { blazarError, reasonOf } from "../../../src/contracts/errors.ts";
import type {
  PodAddress,
  PodLink,
  PodNeighbour,
  PodNetwork,
  PodRoute,
} from "../../../src/contracts/pod-network.ts";
import { addAddress, deleteAddress } from "../../../src/protocol/netlink/addresses.ts";
import {
  IFA_F_NODAD,
  IFA_F_NOPREFIXROUTE,
  IN6_ADDR_GEN_MODE_NONE,
  RTM_DELADDR,
} from "../../../src/protocol/netlink/constants.ts";
import { setLink } from "../../../src/protocol/netlink/links.ts";
import { deleteNeighbour, setNeighbour } from "../../../src/protocol/netlink/neighbours.ts";
import { addRoute, deleteRoute } from "../../../src/protocol/netlink/routes.ts";
import type { NetlinkRequest } from "../../../src/protocol/netlink/writer.ts";
import { PrefixRoutes } from "./prefix-routes.ts";

/** Of errno(3). */
const EEXIST = 17;
/** ENOENT, ESRCH, ENXIO, ENODEV, EADDRNOTAVAIL: what is to go is not there. */
const GONE: readonly number[] = [2, 3, 6, 19, 99];
/** RFC 8200, section 5. */
const IP6_MIN_MTU = 1280;
const LINK_NAME = /^(?!\.\.?$)[^\s/:%\0]{1,15}$/;
/** `lo` in every namespace. */
const LOOPBACK_INDEX = 1;

/** A network interface of the machine. */
export interface Nic {
  readonly index: number;
  /** What it is called now. */
  readonly name: string;
}

/** One request, with the words for its failure. */
export interface NetworkStep {
  readonly request: NetlinkRequest;
  /** In the infinitive. */
  readonly operation: string;
  /** The link's name, the address or the route. */
  readonly subject: string;
  /** Errnos that are as good as success. */
  readonly harmless: readonly number[];
}

/** From one network to another, on interfaces of which number n has link n. */
export interface NetworkChange {
  readonly before: PodNetwork;
  /** False: some of `before` may be missing, so that everything is set again. */
  readonly beforeIsWhole: boolean;
  readonly after: PodNetwork;
  readonly nics: readonly Nic[];
}

/** Brings `lo` up, which gives it 127.0.0.1 and ::1. */
export function loopbackUp(): NetworkStep {
  return step("bring up the link", "lo", () => setLink(LOOPBACK_INDEX, { up: true }));
}

/** Everything in order. Throws InvalidArgument for what cannot be asked of the kernel. */
export function stepsOf(change: NetworkChange): NetworkStep[] {
  const { before, beforeIsWhole, after, nics } = change;
  const had = partsOf(before, nics);
  const wanted = partsOf(after, nics);
  const removed = without(had, wanted).map(({ remove }) => remove());
  const links = linkSteps(change);
  // what goes takes more with it: a link all that it has, an address its routes and those that are secondary to it
  const again =
    !beforeIsWhole || links.length > 0 || removed.some(({ request }) => request.type === RTM_DELADDR);
  const missing = again ? [...wanted.values()] : without(wanted, had);
  return [...removed, ...links, ...missing.flatMap(({ set }) => set?.() ?? [])];
}

/** Index of each link by its name; `lo` is one of them. */
function indicesOf({ links }: PodNetwork, nics: readonly Nic[]): Map<string, number> {
  const indices = new Map([["lo", LOOPBACK_INDEX]]);
  for (const [at, { name }] of links.entries()) {
    const index = nics[at]?.index;
    if (index === undefined) {
      const reason = `the machine has ${nics.length} network interfaces, and the pod ${links.length} links`;
      throw blazarError("InvalidArgument", "find the interface of a link", reason, { subject: name });
    }
    const reason = indices.has(name) ? "there are two of this name" : "this is not the name of a link";
    // the kernel would take "%d" for a pattern
    if (indices.has(name) || !LINK_NAME.test(name))
      throw blazarError("InvalidArgument", "name a link", reason, { subject: JSON.stringify(name) });
    indices.set(name, index);
  }
  return indices;
}

/** An address, a route or a neighbour. */
interface Part {
  /** Undefined for a route that the kernel makes with an address. */
  readonly set: (() => NetworkStep) | undefined;
  readonly remove: () => NetworkStep;
}

/** By a key that has all of it, in the order in which they can be made. */
type Parts = ReadonlyMap<string, Part>;

function without(parts: Parts, others: Parts): Part[] {
  if (others.size === 0) return [...parts.values()];
  return [...parts].flatMap(([key, part]) => (others.has(key) ? [] : [part]));
}

function partsOf(network: PodNetwork, nics: readonly Nic[]): Parts {
  const parts = new Map<string, Part>();
  const { links, routes, neighbours } = network;
  if (links.length + routes.length + neighbours.length === 0) return parts;
  const indices = indicesOf(network, nics);
  const indexOf = (name: string): number => {
    const index = indices.get(name);
    if (index !== undefined) return index;
    throw blazarError("InvalidArgument", "find a link", "the pod has no such link", { subject: name });
  };
  const prefixRoutes = new PrefixRoutes(network);
  const given = new Set<PodRoute>();
  for (const [nic, { name, addresses }] of links.entries()) {
    for (const address of addresses) {
      const { route, isUnwanted } = prefixRoutes.of(name, address);
      if (route !== undefined) given.add(route);
      const flags = IFA_F_NODAD | (isUnwanted ? IFA_F_NOPREFIXROUTE : 0);
      const { address: own, prefix, peer, broadcast, scope } = address;
      const key = `${nic} ${name} ${own}/${prefix} ${peer} ${broadcast} ${scope} ${flags}`;
      parts.set(key, addressPart(indexOf(name), name, { ...address, flags }));
    }
  }
  for (const route of routes) {
    const { destination, link, gateway, source, scope, type, metric, mtu, onlink } = route;
    const key = `${destination} ${link} ${gateway} ${source} ${scope} ${type} ${metric} ${mtu} ${onlink}`;
    parts.set(key, routePart(route, indexOf, given.has(route)));
  }
  for (const neighbour of neighbours) {
    const { link, address, mac } = neighbour;
    // the kernel would make one of them for all addresses, and not find it again
    if (link === "lo")
      throw blazarError("InvalidArgument", "set a neighbour", "lo has none", { subject: address });
    parts.set(`${link} ${address} ${mac}`, neighbourPart(neighbour, indexOf(link)));
  }
  return parts;
}

function addressPart(index: number, link: string, address: PodAddress & { flags: number }): Part {
  const subject = `${address.address}/${address.prefix} of ${link}`;
  return {
    set: () => step("set an address", subject, () => addAddress(index, address), [EEXIST]),
    remove: () => step("remove an address", subject, () => deleteAddress(index, address), GONE),
  };
}

function routePart(route: PodRoute, indexOf: (name: string) => number, isGiven: boolean): Part {
  const { destination, gateway, link } = route;
  const by = gateway === undefined ? "" : ` by ${gateway}`;
  const subject = `${destination}${by}${link === "" ? "" : ` on ${link}`}`;
  const spec = { ...route, link: link === "" ? undefined : indexOf(link) };
  return {
    set: isGiven ? undefined : () => step("set a route", subject, () => addRoute(spec), [EEXIST]),
    remove: () => step("remove a route", subject, () => deleteRoute(spec), GONE),
  };
}

function neighbourPart({ address, link, mac }: PodNeighbour, index: number): Part {
  const subject = `${address} on ${link}`;
  return {
    set: () => step("set a neighbour", subject, () => setNeighbour(index, address, mac)),
    remove: () => step("remove a neighbour", subject, () => deleteNeighbour(index, address), GONE),
  };
}

function linkSteps({ before, beforeIsWhole, after, nics }: NetworkChange): NetworkStep[] {
  const all = nics.map(({ index, name }, at) => ({
    ...{ index, name, parked: `parked${at}` },
    ...{ had: before.links[at], wanted: after.links[at] },
  }));
  const [changed, kept] = [new Set<(typeof all)[number]>(), new Set<(typeof all)[number]>()];
  for (const each of all) (beforeIsWhole && each.had?.name === each.wanted?.name ? kept : changed).add(each);
  const names = new Set([...changed].map(({ wanted }) => wanted?.name));
  return [
    ...[...changed].flatMap(({ index, had }) =>
      had === undefined ? [] : [step("take down the link", had.name, () => setLink(index, { up: false }))],
    ),
    // it has the name that another one is to have
    ...all.flatMap(({ index, name, parked, wanted }) =>
      name !== wanted?.name && names.has(name)
        ? [step("set a link aside", name, () => setLink(index, { name: parked }))]
        : [],
    ),
    ...[...changed].flatMap(({ index, wanted }) => (wanted === undefined ? [] : nameSteps(index, wanted))),
    ...[...kept].flatMap(({ index, had, wanted }) => changeSteps(index, had, wanted)),
  ];
}

function nameSteps(index: number, { name, mac, mtu }: PodLink): NetworkStep[] {
  // the kernel has no IPv6 below that
  const ip6 = mtu < IP6_MIN_MTU ? {} : { addressMode: IN6_ADDR_GEN_MODE_NONE };
  return [
    step("set name, MAC address and MTU of the link", name, () => setLink(index, { name, mac, mtu, ...ip6 })),
    // a message of its own: within one, a link is up before its address mode is set
    step("bring up the link", name, () => setLink(index, { up: true })),
  ];
}

function changeSteps(index: number, had: PodLink | undefined, wanted: PodLink | undefined): NetworkStep[] {
  if (had === undefined || wanted === undefined) return [];
  const { name, mac, mtu } = wanted;
  if (had.mac === mac && had.mtu === mtu) return [];
  return [step("set MAC address and MTU of the link", name, () => setLink(index, { mac, mtu }))];
}

/** Throws InvalidArgument if the request cannot be written: what is no address, for example. */
function step(
  operation: string,
  subject: string,
  write: () => NetlinkRequest,
  harmless: readonly number[] = [],
): NetworkStep {
  try {
    return { operation, subject, request: write(), harmless };
  } catch (cause) {
    throw blazarError("InvalidArgument", operation, reasonOf(cause), { subject, cause });
  }
}
