/**
 * The namespaces of a container's processes: which they make, join, or share with the sandbox. Runs in the child.
 *
 * Follows namespaces(7), setns(2), user_namespaces(7). Nothing here resolves a path in a container.
 */
import * as sys from "sys";
import { check, failure } from "../../../native/runtime/check.ts";
import type { ContainerCreate, UserNamespaceMaps } from "../../../src/protocol/guest/messages.ts";

/** How a container's namespaces differ from the sandbox's, beside those that every container has for itself. */
export interface ContainerNamespaces extends Pick<ContainerCreate, "hostname" | "domainname"> {
  readonly own: ContainerCreate["ownNamespaces"];
  /** Of the pod's user namespace. Undefined: the container is in the guest's own. */
  readonly maps: UserNamespaceMaps | undefined;
}

const FLAGS = { ipc: sys.CLONE_NEWIPC, uts: sys.CLONE_NEWUTS, network: sys.CLONE_NEWNET } as const;
/** By their names in /proc/PID/ns. */
const NAMES = { ipc: "ipc", uts: "uts", network: "net" } as const;
type Shared = keyof typeof NAMES;
const ALL: readonly Shared[] = ["ipc", "uts", "network"];

/** Makes the container's own namespaces. */
export function makeOwnNamespaces({ own, hostname, domainname }: ContainerNamespaces): void {
  const flags = own.reduce((sum, name) => sum | FLAGS[name], sys.CLONE_NEWCGROUP);
  check(sys.unshare(flags), "make the container's namespaces", own.join(", "));
  if (!own.includes("uts")) return;
  if (hostname !== "") check(sys.sethostname(hostname), "set the container's host name", hostname);
  if (domainname !== "") check(sys.setdomainname(domainname), "set the container's domain name", domainname);
}

/** Joins the namespaces of a container that differ from the agent's. The child was cloned into the PID namespace already. */
export function joinContainer(pid: number, { own, maps }: ContainerNamespaces): void {
  const shared = (maps === undefined ? own : ALL).map((name) => NAMES[name]);
  // the user namespace comes last, because the others take the privileges outside of it
  const names = ["cgroup", ...shared, "mnt", ...(maps === undefined ? [] : ["user"])];
  // all are opened first: once "mnt" is joined, the agent's /proc is out of reach
  const opened = names.map((name) => {
    const fd = sys.open(`/proc/${pid}/ns/${name}`, sys.O_RDONLY);
    if (fd < 0) throw failure(fd, "ContainerNotRunning", "join a container's namespace", name);
    return [name, fd] as const;
  });
  for (const [name, fd] of opened) {
    check(sys.setns(fd, 0), "join a container's namespace", name);
    sys.close(fd);
  }
}

/** Becomes root of the user namespace that this process is in: what it makes from now on belongs to that root. */
export function becomeNamespaceRoot(): void {
  check(sys.setgroups([]), "become root of the user namespace");
  check(sys.setresgid(0, 0, 0), "become root of the user namespace");
  check(sys.setresuid(0, 0, 0), "become root of the user namespace");
}
