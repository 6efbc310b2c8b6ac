/**
 * The files that a pod's containers get from the sandboxer: hosts(5) and resolv.conf(5).
 *
 * With a remote sandboxer CRI makes neither (facts/containerd.md §4); kubelet's own hosts file comes as a
 * mount and goes over this one.
 */
import type { SandboxSpec } from "../../contracts/sandbox.ts";

/** A hosts file that knows localhost and the pod itself. */
export function hostsFile(hostname: string, addresses: readonly string[] = ["127.0.1.1"]): string {
  const own = hostname === "localhost" ? [] : addresses.map((address) => `${address}\t${hostname}`);
  return `${["127.0.0.1\tlocalhost", "::1\tlocalhost ip6-localhost ip6-loopback", ...own].join("\n")}\n`;
}

/** The pod's DNS settings, or the node's own where it names no servers. */
export function resolvConf(dns: SandboxSpec["dns"], hostsOwn: string): string {
  if (dns.servers.length === 0 && dns.searches.length === 0 && dns.options.length === 0) return hostsOwn;
  const lines = dns.servers.map((server) => `nameserver ${server}`);
  if (dns.searches.length > 0) lines.push(`search ${dns.searches.join(" ")}`);
  if (dns.options.length > 0) lines.push(`options ${dns.options.join(" ")}`);
  return `${lines.join("\n")}\n`;
}
