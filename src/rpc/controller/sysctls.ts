/**
 * Which sysctls a pod may have: those of its own namespaces, as runc decides it (libcontainer/configs/validate).
 *
 * Values are for the kernel to judge, when the guest is set up.
 */
import { blazarError } from "../../contracts/errors.ts";

/** Of IPC namespaces: sysctl(8) of the kernel's documentation, "kernel". */
const IPC: ReadonlySet<string> = new Set([
  ...["kernel.msgmax", "kernel.msgmnb", "kernel.msgmni", "kernel.sem"],
  ...["kernel.shmall", "kernel.shmmax", "kernel.shmmni", "kernel.shm_rmid_forced"],
]);
/**
 * What containerd gives pods with a network of their own, unless they say otherwise: `enable_unprivileged_ports` and
 * `enable_unprivileged_icmp`, both true by default since 2.0. Its configuration is not known here.
 */
const UNPRIVILEGED_PORTS = { "net.ipv4.ip_unprivileged_port_start": "0" };
const UNPRIVILEGED_ICMP = { "net.ipv4.ping_group_range": "0 2147483647" };

/** A part that is a directory `.` or `..`, whose dots are slashes here. */
const UPWARD = /\.\/{1,2}(\.|$)/;

/** A page without its last byte (proc_dointvec, fs/proc). */
const LONGEST_VALUE = 4095;
/** Of a name that is refused; no name of the kernel's is longer. */
const SHOWN_NAME = 256;

/** What a pod's sysctls depend on. */
export interface SysctlPod {
  readonly id: string;
  /** It has a network namespace, and so also UTS namespace, of its own. */
  readonly hasNetwork: boolean;
  readonly hasUserNamespace: boolean;
}

/** All sysctls of a pod. Throws InvalidSpec for one that is not a pod's, by its name. */
export function podSysctls(
  given: Readonly<Record<string, string>>,
  { id, hasNetwork, hasUserNamespace }: SysctlPod,
): Record<string, string> {
  const known = new Set<string>();
  for (const [name, value] of Object.entries(given)) {
    const reason = problemOf(dotted(name), hasNetwork) ?? problemOfValue(value);
    if (reason !== undefined) {
      const what = `sysctl "${name.slice(0, SHOWN_NAME)}" ${reason}`;
      throw blazarError("InvalidSpec", "create the sandbox", what, { subject: id });
    }
    known.add(dotted(name));
  }
  const defaults: Record<string, string> = {
    ...(hasNetwork ? UNPRIVILEGED_PORTS : {}),
    ...(hasNetwork && !hasUserNamespace ? UNPRIVILEGED_ICMP : {}),
  };
  const unset = Object.entries(defaults).filter(([name]) => !known.has(name));
  return { ...Object.fromEntries(unset), ...given };
}

/** Refused here, because it would be in the kernel's answer, in errors and in logs. */
function problemOfValue(value: string): string | undefined {
  const bytes = Buffer.byteLength(value);
  return bytes > LONGEST_VALUE ? `has ${bytes} bytes; the kernel reads ${LONGEST_VALUE} at most` : undefined;
}

function problemOf(name: string, hasNetwork: boolean): string | undefined {
  if (!/^[^./\0]+(\.[^.\0]+)+$/.test(name) || UPWARD.test(name)) return "is not the name of a sysctl";
  if (IPC.has(name) || name.startsWith("fs.mqueue.")) return undefined;
  if (name.startsWith("net.")) return hasNetwork ? undefined : "is not allowed in a pod with hostNetwork";
  if (name === "kernel.hostname" && hasNetwork) return "is not allowed: the pod has a field hostname";
  if (name === "kernel.domainname" && hasNetwork) return undefined;
  return "is not in a separate kernel namespace";
}

/** With `.` between its parts: in a name that begins with a `/` between them, both change places. */
function dotted(name: string): string {
  if (name[name.search(/[./]/)] !== "/") return name;
  return name.replace(/[./]/g, (each) => (each === "." ? "/" : "."));
}
