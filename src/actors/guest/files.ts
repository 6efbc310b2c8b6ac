/**
 * The files that a pod's containers get from the sandboxer: hosts(5) and resolv.conf(5), as containerd has them for runc.
 *
 * With a remote sandboxer CRI makes neither (facts/containerd.md §4). Kubelet's own hosts file, which has a pod's
 * hostAliases, comes as a mount and goes over this one.
 */
import type { PodNetwork } from "../../contracts/pod-network.ts";
import type { SandboxSpec } from "../../contracts/sandbox.ts";
import { RT_SCOPE_UNIVERSE } from "../../protocol/netlink/constants.ts";

/** Where Debian has the name of a machine without a network. */
const NO_NETWORK = ["127.0.1.1"];
/** Characters. Files that are larger are lists of advertisers, and every start would carry them. */
const MOST_HOSTS = 64 * 1024;
const LOCALHOST = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n";

/** The node's own file, and the pod itself: a program that looks up its host's name finds its addresses. */
export function hostsFile(hostsOwn: string, hostname: string, network: PodNetwork | undefined): string {
  const text = hostsOwn === "" || hostsOwn.length > MOST_HOSTS ? LOCALHOST : hostsOwn;
  if (hostname === "localhost") return text;
  const short = hostname.split(".", 1)[0] ?? "";
  const names = short === hostname ? hostname : `${hostname} ${short}`;
  const addresses = (network?.links ?? []).flatMap((link) =>
    link.addresses.filter(({ scope }) => scope === RT_SCOPE_UNIVERSE).map(({ address }) => address),
  );
  const lines = (addresses.length === 0 ? NO_NETWORK : addresses).map((address) => `${address}\t${names}\n`);
  return `${text.endsWith("\n") ? text : `${text}\n`}${lines.join("")}`;
}

/** The pod's DNS settings, which may be none; without any, the node's own file. */
export function resolvConf(dns: SandboxSpec["dns"], hostsOwn: string): string {
  if (dns === undefined) return hostsOwn;
  const { searches, servers, options } = dns;
  const lines = [
    ...(searches.length > 0 ? [`search ${searches.join(" ")}`] : []),
    ...servers.map((server) => `nameserver ${server}`),
    ...(options.length > 0 ? [`options ${options.join(" ")}`] : []),
  ];
  return lines.map((line) => `${line}\n`).join("");
}
