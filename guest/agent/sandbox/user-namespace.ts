/**
 * The user namespace of a pod, with the IPC, UTS and network namespaces that belong to it: user_namespaces(7).
 *
 * A child is cloned into all of them at once, so that the user namespace owns the others: only then may root inside mount
 * sysfs and mqueue, set a host name, or bind port 80. The child ends at once; the agent's descriptors hold the namespaces.
 * One pod has one, and all of its containers are in it.
 */
import * as sys from "sys";
import { check, checkValue } from "../../../native/runtime/check.ts";
import { type ChildReaper, cloneChild } from "../../../native/runtime/child.ts";
import { writeControl } from "../../../native/runtime/files.ts";
import { blazarError } from "../../../src/contracts/errors.ts";
import { outsideOf } from "../../../src/contracts/id-maps.ts";
import type { UserNamespaceMaps } from "../../../src/protocol/guest/messages.ts";
import { bringUpLoopback } from "../network/pod-network.ts";

/** Descriptors of the namespaces. */
export interface PodDescriptors {
  readonly user: number;
  readonly ipc: number;
  readonly uts: number;
  readonly network: number;
}

const FLAGS = sys.CLONE_NEWUSER | sys.CLONE_NEWIPC | sys.CLONE_NEWUTS | sys.CLONE_NEWNET;
const OPERATION = "make the pod's user namespace";

export class UserNamespace {
  private constructor(
    readonly maps: UserNamespaceMaps,
    readonly descriptors: PodDescriptors,
  ) {}

  /** Makes the namespaces; 127.0.0.1 works in them. Throws, leaving nothing. */
  static make(reaper: ChildReaper, maps: UserNamespaceMaps): UserNamespace {
    const [child, own] = checkValue(sys.socketpair(0), "make a socket pair");
    try {
      const pid = cloneIntoNew(reaper, child, own);
      writeControl(`/proc/${pid}/uid_map`, mapText(maps.uids));
      writeControl(`/proc/${pid}/gid_map`, mapText(maps.gids));
      const descriptors = open(pid);
      sys.write(own, new ArrayBuffer(1), 0, 1);
      // the child's work takes a millisecond or two
      if (sys.read(own, new ArrayBuffer(1), 0, 1) === 1) return new UserNamespace(maps, descriptors);
      closeAll(descriptors);
      throw blazarError("GuestFailed", OPERATION, "the child that makes it has ended");
    } finally {
      // a child that still waits ends then
      sys.close(own);
    }
  }

  close(): void {
    closeAll(this.descriptors);
  }
}

/** What an id inside is outside. Throws InvalidSpec if it is not mapped. */
export function outsideId(mappings: UserNamespaceMaps["uids"], id: number, field: string): number {
  const outside = outsideOf(mappings, id);
  if (outside !== undefined) return outside;
  const reason = `${id} is not mapped in the pod's user namespace`;
  throw blazarError("InvalidSpec", "start a process", reason, { subject: field });
}

function mapText(mappings: UserNamespaceMaps["uids"]): string {
  return mappings.map(({ containerId, hostId, size }) => `${containerId} ${hostId} ${size}\n`).join("");
}

function open(pid: number): PodDescriptors {
  const one = (name: string): number =>
    check(sys.open(`/proc/${pid}/ns/${name}`, sys.O_RDONLY), "open a namespace of the pod", name);
  return { user: one("user"), ipc: one("ipc"), uts: one("uts"), network: one("net") };
}

function closeAll(descriptors: PodDescriptors): void {
  for (const fd of Object.values(descriptors)) sys.close(fd);
}

function cloneIntoNew(reaper: ChildReaper, child: number, own: number): number {
  try {
    const pid = cloneChild({ flags: FLAGS }, () => settle(child, own));
    reaper.onExit(pid, () => undefined);
    return pid;
  } finally {
    sys.close(child);
  }
}

/** In the child. Waits until the namespace has its maps and the agent has its descriptors. */
function settle(socket: number, agents: number): number {
  sys.close(agents);
  if (sys.read(socket, new ArrayBuffer(1), 0, 1) !== 1) return 1;
  bringUpLoopback();
  return sys.write(socket, new ArrayBuffer(1), 0, 1) === 1 ? 0 : 1;
}
