/**
 * Reads what a pod's network namespace has, in one round for all of its links; and again while the pod runs.
 *
 * Changes nothing but the MTU of a tap whose link has got another. For workers only.
 */
import { blazarError } from "../../contracts/errors.ts";
import type { PodNetwork } from "../../contracts/pod-network.ts";
import { AF_INET, AF_INET6 } from "../../protocol/netlink/constants.ts";
import { type LinkRecord, setLink } from "../../protocol/netlink/links.ts";
import { type NetworkRecords, readRecords } from "../../protocol/netlink/pod-network.ts";
import { getRules, ruleOf } from "../../protocol/netlink/rules.ts";
import { carriedLinks, isOwnTap, networkOf, networkWith, tapMtu, tapName } from "./carried.ts";
import { type Joined, type JoinedLink, joinedLinks } from "./join.ts";
import { NetworkNamespace } from "./namespaces.ts";
import { RouteSession } from "./route-session.ts";
import { sysctlsOf } from "./sysctls.ts";

/** What has become of a network that is joined. */
export type NetworkLook =
  | { readonly kind: "there"; readonly network: PodNetwork; readonly beside: readonly string[] }
  | { readonly kind: "gone"; readonly reason: string };

/** Throws HostResource (no such namespace), InvalidSpec (blazard's own), UnsupportedSpec (what cannot be carried). */
export function readNetwork(path: string): PodNetwork {
  const namespace = NetworkNamespace.open(path);
  try {
    if (namespace.isOwn) {
      const reason = "it is the network namespace that blazard is in";
      throw blazarError("InvalidSpec", "read a pod's network", reason, { subject: path });
    }
    const session = RouteSession.in(namespace);
    try {
      const { exchange } = session;
      const rules = [AF_INET, AF_INET6].flatMap((family) => exchange.dump(getRules(family)).map(ruleOf));
      const records = readRecords(exchange);
      return withSysctls(
        networkOf(records, rules),
        sysctlsOf(namespace, carriedLinks(records), records.links),
      );
    } finally {
      session.close();
    }
  } finally {
    namespace.close();
  }
}

/** Reads the links that were joined, once more. Throws HostResource if the kernel cannot be asked. */
export function lookAgain(path: string, joined: Joined): NetworkLook {
  const namespace = NetworkNamespace.find(path);
  if (namespace === undefined) return { kind: "gone", reason: "its namespace was removed" };
  try {
    const { device, inode } = namespace.identity;
    if (device !== joined.namespace.device || inode !== joined.namespace.inode)
      return { kind: "gone", reason: "there is another namespace at its path" };
    const session = RouteSession.in(namespace);
    try {
      return lookAt(namespace, session, joined.links);
    } finally {
      session.close();
    }
  } finally {
    namespace.close();
  }
}

/** A network that was joined by an earlier daemon. */
export type FoundNetwork =
  | (NetworkLook & { readonly kind: "there" } & { readonly joined: Joined })
  | (NetworkLook & { readonly kind: "gone" });

/** Finds links that are joined by their filters. Throws HostResource if the kernel cannot be asked. */
export function findNetwork(path: string): FoundNetwork {
  const namespace = NetworkNamespace.find(path);
  if (namespace === undefined) return { kind: "gone", reason: "its namespace was removed" };
  try {
    const session = RouteSession.in(namespace);
    try {
      const links = joinedLinks(session);
      if (links === undefined) return { kind: "gone", reason: "what joined it to its VM was removed" };
      const look = lookAt(namespace, session, links);
      return look.kind === "gone" ? look : { ...look, joined: { namespace: namespace.identity, links } };
    } finally {
      session.close();
    }
  } finally {
    namespace.close();
  }
}

function withSysctls(network: PodNetwork, sysctls: NonNullable<PodNetwork["sysctls"]>): PodNetwork {
  return Object.keys(sysctls).length === 0 ? network : { ...network, sysctls };
}

function lookAt(
  namespace: NetworkNamespace,
  session: RouteSession,
  joined: readonly JoinedLink[],
): NetworkLook {
  const records = readRecords(session.exchange);
  const links: NetworkRecords["links"][number][] = [];
  for (const { name, index } of joined) {
    const link = records.links.find((one) => one.index === index);
    if (link === undefined) return { kind: "gone", reason: `its link ${name} was removed` };
    links.push(link);
  }
  followMtus(session, links, records.links);
  const others = records.links.filter(
    (link) => link.up && !links.includes(link) && !isOwnTap(link) && link.name !== "lo",
  );
  const network = withSysctls(networkWith(records, links), sysctlsOf(namespace, links, records.links));
  return { kind: "there", network, beside: others.map(({ name }) => name) };
}

/** What comes in is as long as the link allows. */
function followMtus(session: RouteSession, links: readonly LinkRecord[], all: readonly LinkRecord[]): void {
  for (const [number, { mtu }] of links.entries()) {
    const tap = all.find((link) => isOwnTap(link) && link.name === tapName(number));
    if (tap === undefined || tap.mtu === tapMtu(mtu)) continue;
    session.do([{ what: `set a tap's MTU for ${mtu}`, request: setLink(tap.index, { mtu: tapMtu(mtu) }) }]);
  }
}
