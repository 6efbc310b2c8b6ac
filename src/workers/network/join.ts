/**
 * Joins a VM's taps to the links of a pod's network namespace, and takes that apart: tc(8), veth(4), tuntap.rst.
 *
 * What comes in on a link goes out of its tap, and the other way around: two filters. The namespace's own network stack then
 * gets nothing from either, so nothing there answers for the guest. A half-made joint is found and removed by its names alone:
 * taps are called {@link tapName}, filters have {@link PRIORITY}. For workers only.
 */
import { constants } from "node:os";
import { blazarError } from "../../contracts/errors.ts";
import type { VmNic } from "../../contracts/vm.ts";
import { IFF_ALLMULTI, IN6_ADDR_GEN_MODE_NONE } from "../../protocol/netlink/constants.ts";
import { deleteLink, getLinks, type LinkRecord, linkOf, setLink } from "../../protocol/netlink/links.ts";
import {
  addIngress,
  deleteIngress,
  deleteRedirect,
  filterOf,
  getIngressFilters,
  redirectIngress,
} from "../../protocol/netlink/traffic.ts";
import { isOwnTap, tapMtu, tapName } from "./carried.ts";
import { type NamespaceIdentity, NetworkNamespace } from "./namespaces.ts";
import { RouteSession, type Step } from "./route-session.ts";

/** Of our filters: behind those that somebody numbers by hand, before those that tc(8) numbers itself. */
const PRIORITY = 0xb1a2;
const { EAFNOSUPPORT, EEXIST, EINVAL, ENODEV, ENOENT, EOPNOTSUPP } = constants.errno;

/** A link that is joined, and the tap beside it. */
export interface JoinedLink {
  readonly name: string;
  readonly index: number;
}

/** What a pod is joined to: what is needed to look at it again. */
export interface Joined {
  readonly namespace: NamespaceIdentity;
  readonly links: readonly JoinedLink[];
}

export interface Joint {
  /** The link's name in the pod's namespace. */
  readonly link: string;
  readonly mtu: number;
  readonly nic: VmNic;
}

/** Joins all of them, or none. Throws HostResource, VmmExited if a tap is gone. */
export async function joinTaps(path: string, joints: readonly Joint[]): Promise<Joined> {
  const namespace = NetworkNamespace.open(path);
  try {
    const session = RouteSession.in(namespace);
    try {
      return { namespace: namespace.identity, links: await joinAll(namespace, session, joints) };
    } catch (error) {
      takeApart(session);
      throw error;
    } finally {
      session.close();
    }
  } finally {
    namespace.close();
  }
}

/** Takes apart what {@link joinTaps} has made, or a part of it. Nothing there is success. Throws HostResource. */
export function leaveTaps(path: string): void {
  const namespace = NetworkNamespace.find(path);
  if (namespace === undefined) return;
  try {
    if (namespace.isOwn) return;
    const session = RouteSession.in(namespace);
    try {
      takeApart(session);
    } finally {
      session.close();
    }
  } finally {
    namespace.close();
  }
}

/** The links that are joined, in the order of the VM's NICs. Undefined if one of them, or its tap, is gone. */
export function joinedLinks(session: RouteSession): JoinedLink[] | undefined {
  const links = session.exchange.dump(getLinks()).map(linkOf);
  const joined = links.filter((link) => !isOwnTap(link) && hasOwnFilter(session, link.index));
  if (joined.length !== links.filter(isOwnTap).length) return undefined;
  return joined.map(({ name, index }) => ({ name, index }));
}

/** Whether frames of a link there are sent to a tap that is gone. A namespace without a filter of ours, or with a tap, has none. */
export function hasDeadJoint(path: string): boolean {
  const namespace = NetworkNamespace.find(path);
  if (namespace === undefined) return false;
  try {
    if (namespace.isOwn) return false;
    const session = RouteSession.in(namespace);
    try {
      const links = session.exchange.dump(getLinks()).map(linkOf);
      return !links.some(isOwnTap) && links.some(({ index }) => hasOwnFilter(session, index));
    } finally {
      session.close();
    }
  } finally {
    namespace.close();
  }
}

function hasOwnFilter(session: RouteSession, index: number): boolean {
  const filters = session.exchange.dump(getIngressFilters(index)).map(filterOf);
  return filters.some(({ priority }) => priority === PRIORITY);
}

async function joinAll(
  namespace: NetworkNamespace,
  session: RouteSession,
  joints: readonly Joint[],
): Promise<JoinedLink[]> {
  const links = session.exchange.dump(getLinks()).map(linkOf);
  // of a start that was broken off
  if (links.some(isOwnTap)) takeApart(session);
  const joined: JoinedLink[] = [];
  for (const [number, { link: name, nic, mtu }] of joints.entries()) {
    const link = links.find((one) => one.name === name);
    if (link === undefined)
      throw blazarError("HostResource", "join a link", "it is no longer there", { subject: name });
    const tap = tapName(number);
    await moveTap(nic, namespace, tap);
    session.do(stepsOf(link, session.link(tap) ?? tapGone(nic), mtu));
    joined.push({ name, index: link.index });
  }
  return joined;
}

/** It gets its new name on the way, so that it meets no other one. The kernel waits for its readers: 10 to 30 ms. */
async function moveTap(nic: VmNic, to: NetworkNamespace, name: string): Promise<void> {
  const from = NetworkNamespace.find(nic.namespace) ?? tapGone(nic);
  try {
    const session = RouteSession.in(from);
    try {
      const tap = session.link(nic.tap) ?? tapGone(nic);
      await session.doLater({ what: "move a tap", request: setLink(tap.index, { namespace: to.fd, name }) });
    } finally {
      session.close();
    }
  } finally {
    from.close();
  }
}

function tapGone({ tap }: VmNic): never {
  throw blazarError("VmmExited", "join a tap", "it is gone, and so is its VMM", { subject: tap });
}

/** Everything is ready before the link's frames are taken from the namespace's own stack. */
function stepsOf(link: LinkRecord, tap: LinkRecord, mtu: number): Step[] {
  const on = `on ${link.name}`;
  return [
    {
      // without an address of its own it says nothing by itself
      what: "keep a tap without IPv6 addresses",
      request: setLink(tap.index, { addressMode: IN6_ADDR_GEN_MODE_NONE }),
      fine: [EAFNOSUPPORT, EOPNOTSUPP],
    },
    { what: `set a tap's MTU for ${mtu}`, request: setLink(tap.index, { mtu: tapMtu(mtu) }) },
    { what: "add a qdisc to a tap", request: addIngress(tap.index) },
    { what: `send a tap's frames out ${on}`, request: redirectIngress(tap.index, link.index, PRIORITY) },
    { what: "set a tap up", request: setLink(tap.index, { up: true }) },
    ...allMulticast(link, true),
    { what: `add a qdisc ${on}`, request: addIngress(link.index), fine: [EEXIST] },
    { what: `send frames ${on} to a tap`, request: redirectIngress(link.index, tap.index, PRIORITY) },
  ];
}

/** A macvlan delivers only the groups that its namespace has joined, and it cannot know the guest's. */
function allMulticast(link: LinkRecord, on: boolean): Step[] {
  const has = (link.flags & IFF_ALLMULTI) !== 0;
  if (link.kind !== "macvlan" || has === on) return [];
  const flags = { set: on ? IFF_ALLMULTI : 0, mask: IFF_ALLMULTI };
  return [{ what: `change what groups come in on ${link.name}`, request: setLink(link.index, { flags }) }];
}

function takeApart(session: RouteSession): void {
  const links = session.exchange.dump(getLinks()).map(linkOf);
  const taps = links.filter(isOwnTap);
  for (const link of links) if (!isOwnTap(link)) releaseLink(session, link, taps.length > 0);
  session.do(taps.map(({ index }) => ({ what: "remove a tap", request: deleteLink(index), fine: [ENODEV] })));
}

/**
 * Gives a link's frames back to the namespace. A qdisc that somebody else uses as well stays.
 * @param begun a joint was being made: a qdisc without filters is ours, too
 */
function releaseLink(session: RouteSession, link: LinkRecord, begun: boolean): void {
  const { errno } = session.exchange.ask(deleteRedirect(link.index, PRIORITY));
  if (errno !== 0 && !(errno === ENOENT && begun)) return;
  const steps = allMulticast(link, false);
  const left = session.exchange.dump(getIngressFilters(link.index)).map(filterOf);
  if (left.length === 0) {
    const fine = [ENOENT, EINVAL, ENODEV];
    steps.push({ what: `remove the qdisc of ${link.name}`, request: deleteIngress(link.index), fine });
  }
  session.do(steps);
}
