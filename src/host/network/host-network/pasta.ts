/**
 * pasta(1) as a process: its options, its user, its jail and its limits.
 *
 * It is in the host's network, as a user of its own with a capability that it gives up when it has entered its uplink's user
 * namespace. It opens no path of the host. It reads what a hostile guest sends, and forbids itself all system calls but a few.
 */
import { constants } from "node:fs";
import {
  FORWARDED_RESOLVER,
  HOST_ITSELF,
  type HostFamily,
  type HostPlan,
} from "../../../contracts/host-networks.ts";
import type { JailMount, ProcessSpawn } from "../../../contracts/keeper.ts";
import { UPLINK_NETWORK, UPLINK_USER } from "../../../protocol/keeper/messages.ts";
import { type HostPort, portSpec } from "./host-ports.ts";

export interface PastaInput {
  /** The keeper's name for the process. */
  readonly id: string;
  /** The keeper's name for the uplink. */
  readonly uplink: string;
  /** `bin/pasta`, and `lib` with its loader and its C library. */
  readonly program: string;
  readonly user: { readonly uid: number; readonly gid: number };
  /** A directory of its own that belongs to this user: {@link PID_FILE} and {@link LOG_FILE} go in here. */
  readonly directory: string;
  /** `cgroup.procs` files. */
  readonly cgroups: readonly string[];
  readonly plan: HostPlan;
  readonly ports: readonly HostPort[];
  /** A resolver of the host that listens on loopback only; the guest reaches it at {@link FORWARDED_RESOLVER}. */
  readonly resolver: string | undefined;
}

/** It is there and not empty when pasta serves. */
export const PID_FILE = "pasta.pid";
export const LOG_FILE = "pasta.log";

const STDOUT = 1;
const STDERR = 2;
/**
 * Of its files, the log and the pid's, which are in the host's memory. More than a log may have before it is cut (bounded-logs.ts);
 * somebody who has taken pasta over could fill all of /run until then.
 */
const MOST_FILE_BYTES = 4 * 1024 * 1024;
const PROGRAM = "/usr/bin";
const LIBRARIES = "/lib64";
/** native/pasta. */
const PRELOADED = "blazar-pasta.so";
const FIRST_FREE_PORT = 1024;
const DIRECTORY = "/run";
const NULL = "/dev/null";
/** What the guest sees as the sender of all frames. Any address will do that is not the guest's. */
const PASTA_MAC = "02:b1:a2:ff:ff:01";
/** Where the host's own connections seem to come from when it has no gateway (pasta's own defaults). */
const NO_GATEWAY = { v4: "169.254.2.2", v6: "fe80::1" };

export function pastaProcess(input: PastaInput): ProcessSpawn {
  const { id, uplink, user, directory, cgroups } = input;
  const { O_WRONLY, O_CREAT, O_APPEND, O_NOFOLLOW } = constants;
  const log = {
    path: `${directory}/${LOG_FILE}`,
    flags: O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW,
    mode: 0o600,
  };
  return {
    id,
    argv: [`${PROGRAM}/pasta`, ...options(input)],
    env: [
      `LD_LIBRARY_PATH=${LIBRARIES}`,
      `LD_PRELOAD=${LIBRARIES}/${PRELOADED}`,
      `BLAZAR_LOW_PORTS=${lowPorts(input.ports)}`,
      "LC_ALL=C",
    ],
    cwd: "/",
    uid: user.uid,
    gid: user.gid,
    groups: [],
    // for ports below 1024
    capabilities: ["CAP_NET_BIND_SERVICE"],
    files: [
      { fd: STDOUT, ...log },
      { fd: STDERR, ...log },
    ],
    jail: { mounts: mounts(input), proc: true, uplink },
    cgroups,
    rlimits: [
      { type: "RLIMIT_CORE", soft: 0, hard: 0 },
      { type: "RLIMIT_FSIZE", soft: MOST_FILE_BYTES, hard: MOST_FILE_BYTES },
    ],
    // it asks for huge pages for 8 MB of buffers, of which most pods use a few kilobytes
    hugePages: false,
  };
}

/** They go with the jail that it leaves when it makes its own. */
function mounts({ program, directory }: PastaInput): JailMount[] {
  const mount = { readonly: true, follow: false, temporary: true };
  return [
    { ...mount, source: `${program}/bin`, target: PROGRAM },
    { ...mount, source: `${program}/lib`, target: LIBRARIES },
    { ...mount, source: directory, target: DIRECTORY, readonly: false },
    { ...mount, source: NULL, target: NULL, readonly: false },
  ];
}

function options({ plan, ports, resolver }: PastaInput): string[] {
  const { link, mac, v4, v6 } = plan;
  return [
    ...["--foreground", "--quiet", "--pid", `${DIRECTORY}/${PID_FILE}`],
    ...["--userns", UPLINK_USER, "--netns", UPLINK_NETWORK, "--no-netns-quit"],
    ...["--interface", link, "--ns-ifname", link, "--ns-mac-addr", mac, "--mac-addr", PASTA_MAC],
    ...family("-4", v4, v6, NO_GATEWAY.v4),
    ...family("-6", v6, v4, NO_GATEWAY.v6),
    // the guest is told its addresses by blazard
    ...["--no-dhcp", "--no-dhcpv6", "--no-ra"],
    // what listens on the host's loopback is not for guests
    "--no-map-gw",
    // what the host connects to goes to the guest, and not to the namespace, in which nobody listens
    "--no-splice",
    ...(v4 === undefined ? [] : ["--map-guest-addr", HOST_ITSELF.v4]),
    ...(v6 === undefined ? [] : ["--map-guest-addr", HOST_ITSELF.v6]),
    ...(resolver === undefined ? [] : ["--dns-forward", FORWARDED_RESOLVER, "--dns-host", resolver]),
    ...portOptions("-t", ports, "tcp"),
    ...portOptions("-u", ports, "udp"),
    ...["-T", "none", "-U", "none"],
  ];
}

/** `t80,u53`: what the preloaded library binds for it. */
function lowPorts(ports: readonly HostPort[]): string {
  return ports
    .filter(({ host }) => host < FIRST_FREE_PORT)
    .map(({ protocol, host }) => `${protocol.charAt(0)}${host}`)
    .join(",");
}

function family(
  only: "-4" | "-6",
  own: HostFamily | undefined,
  other: HostFamily | undefined,
  noGateway: string,
): string[] {
  if (own === undefined) return [];
  const { address, prefix, gateway = noGateway } = own;
  const options = ["--address", `${address}/${prefix}`, "--gateway", gateway];
  return other === undefined ? [only, ...options] : options;
}

function portOptions(
  option: "-t" | "-u",
  ports: readonly HostPort[],
  protocol: HostPort["protocol"],
): string[] {
  const specs = ports.filter((port) => port.protocol === protocol).map(portSpec);
  return specs.length === 0 ? [option, "none"] : specs.flatMap((spec) => [option, spec]);
}
