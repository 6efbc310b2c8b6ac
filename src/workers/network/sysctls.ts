/**
 * The sysctls that somebody has set in a pod's network namespace, such as CNI's plugin `tuning`: sysctl(8),
 * Documentation/networking/ip-sysctl.rst.
 *
 * Nothing tells that one was set, so values are compared: those of a link with those of the namespace's `lo`, others with
 * those of a new namespace. Only names of the lists are looked at, because each costs 12 µs of every pod's start. All of them
 * belong to a namespace in the guest's kernel, too. For workers only.
 */
import { closeSync, openSync, readSync } from "node:fs";
import { ARPHRD_LOOPBACK } from "../../protocol/netlink/constants.ts";
import type { NetworkRecords } from "../../protocol/netlink/pod-network.ts";
import { NetworkNamespace } from "./namespaces.ts";

type Sysctls = Readonly<Record<string, string>>;

const words = (text: string): string[] => text.trim().split(/\s+/);
const below = (directory: string, names: string): string[] =>
  words(names).map((name) => `net/${directory}/${name}`);

/** Below /proc/sys. */
export const NAMES: readonly string[] = [
  "net/core/somaxconn",
  "net/unix/max_dgram_qlen",
  // first, because the kernel sets others with it
  ...below("ipv4", "ip_forward ip_default_ttl ip_local_port_range ip_local_reserved_ports ip_no_pmtu_disc"),
  ...below("ipv4", "ip_nonlocal_bind ip_unprivileged_port_start ping_group_range icmp_echo_ignore_all"),
  ...below("ipv4", "tcp_base_mss tcp_congestion_control tcp_ecn tcp_fastopen tcp_fin_timeout"),
  ...below("ipv4", "tcp_keepalive_intvl tcp_keepalive_probes tcp_keepalive_time tcp_max_syn_backlog"),
  ...below("ipv4", "tcp_max_tw_buckets tcp_moderate_rcvbuf tcp_mtu_probing tcp_no_metrics_save"),
  ...below(
    "ipv4",
    "tcp_notsent_lowat tcp_orphan_retries tcp_retries1 tcp_retries2 tcp_rfc1337 tcp_rmem tcp_sack",
  ),
  ...below(
    "ipv4",
    "tcp_slow_start_after_idle tcp_syn_retries tcp_synack_retries tcp_syncookies tcp_timestamps",
  ),
  ...below("ipv4", "tcp_tw_reuse tcp_window_scaling tcp_wmem udp_rmem_min udp_wmem_min"),
  ...below("ipv4/conf/all", "accept_redirects arp_announce arp_ignore log_martians route_localnet rp_filter"),
  ...below("ipv4/conf/all", "send_redirects src_valid_mark"),
  "net/ipv6/bindv6only",
  ...below("ipv6/conf/all", "accept_redirects disable_ipv6 forwarding"),
];

const buffer = Buffer.alloc(4096);

/** What a new namespace has. It is looked at once for each thread: the host's administrator changes it rarely. */
let fresh: Sysctls | undefined;

/** Those that were set, of the namespace and of links of it. Throws HostResource. */
export function sysctlsOf(
  namespace: NetworkNamespace,
  links: NetworkRecords["links"],
  all: NetworkRecords["links"],
): Sysctls {
  fresh ??= NetworkNamespace.runInNew(readAll);
  const set: Record<string, string> = {};
  for (const [name, value] of Object.entries(namespace.run(readAll)))
    if (fresh[name] !== value) set[name] = value;
  const lo = all.find(({ type }) => type === ARPHRD_LOOPBACK)?.settings ?? {};
  for (const { name: link, settings = {} } of links)
    for (const [name, value] of Object.entries(settings))
      if (lo[name] !== undefined && lo[name] !== value)
        set[`net/${name.replace("/", `/conf/${link}/`)}`] = String(value);
  return set;
}

/** In the namespace that the thread is in. What the kernel does not have is left out. */
function readAll(): Sysctls {
  const values: Record<string, string> = {};
  for (const name of NAMES) {
    const value = readSysctl(name);
    if (value !== undefined) values[name] = value;
  }
  return values;
}

/** In the namespace that the thread is in, by the path below /proc/sys; undefined if there is none. */
export function readSysctl(name: string): string | undefined {
  let fd: number;
  try {
    fd = openSync(`/proc/sys/${name}`, "r");
  } catch {
    return undefined;
  }
  try {
    const size = readSync(fd, buffer, 0, buffer.length, null);
    return buffer.toString("latin1", 0, size).trim().replaceAll(/\s+/g, " ");
  } finally {
    closeSync(fd);
  }
}
