/**
 * The sysctls of a pod: sysctl(8), /proc/sys. They are those of its namespaces; the host has refused all others.
 *
 * What a user namespace owns, its own root sets: the kernel lets the guest's root only read the sysctls of such an IPC
 * namespace. So a child does it there.
 */
import * as sys from "sys";
import { check, checkValue, failure } from "../../../native/runtime/check.ts";
import { type ChildReaper, cloneChild } from "../../../native/runtime/child.ts";
import { blazarError } from "../../../src/contracts/errors.ts";
import type { PodDescriptors } from "./user-namespace.ts";

type Sysctls = Readonly<Record<string, string>>;

/** Sets them in order, where the caller is. Throws InvalidSpec with the kernel's word for the first that it refuses. */
export function writeSysctls(sysctls: Sysctls): void {
  for (const [name, value] of Object.entries(sysctls)) refuse(writeSysctl(name, value), name, value);
}

/** The same in the pod's user namespace, with what belongs to it. */
export function writeSysctlsIn(pod: PodDescriptors, reaper: ChildReaper, sysctls: Sysctls): void {
  const entries = Object.entries(sysctls);
  if (entries.length === 0) return;
  const [child, own] = checkValue(sys.socketpair(0), "make a socket pair");
  const answer = new Int32Array(2);
  try {
    const pid = cloneChild({}, () => {
      becomeRootOf(pod);
      for (const [index, [name, value]] of entries.entries()) {
        const result = writeSysctl(name, value);
        answer.set([index, result]);
        if (result < 0) break;
      }
      return sys.write(child, answer.buffer, 0, answer.byteLength) < 0 ? 1 : 0;
    });
    sys.close(child);
    reaper.onExit(pid, () => undefined);
    const length = sys.read(own, answer.buffer, 0, answer.byteLength);
    if (length !== answer.byteLength)
      throw blazarError("GuestFailed", "set the pod's sysctls", "the child that sets them has ended");
  } finally {
    sys.close(own);
  }
  const [index = 0, result = 0] = answer;
  const [name = "", value = ""] = entries[index] ?? [];
  refuse(result, name, value);
}

function becomeRootOf({ ipc, uts, network, user }: PodDescriptors): void {
  for (const fd of [ipc, uts, network, user]) check(sys.setns(fd, 0), "enter the pod's namespaces");
  check(sys.setresgid(0, 0, 0), "become the pod's root");
  check(sys.setresuid(0, 0, 0), "become the pod's root");
}

/** 0, or the errno as a negative number. */
function writeSysctl(name: string, value: string): number {
  const path = sysctlPath(name);
  if (path === undefined)
    throw blazarError("InvalidSpec", "set a sysctl", "this is not the name of a sysctl", { subject: name });
  return Math.min(sys.writeFile(`/proc/sys/${path}`, value, sys.O_WRONLY), 0);
}

function refuse(result: number, name: string, value: string): void {
  if (result < 0) throw failure(result, "InvalidSpec", "set a sysctl", `${name}=${value}`);
}

/** Below /proc/sys: `.` and `/` change places if the first of them is a `.`. Undefined for what would lead elsewhere. */
function sysctlPath(name: string): string | undefined {
  const swapped =
    name[name.search(/[./]/)] === "/" ? name : name.replace(/[./]/g, (each) => (each === "." ? "/" : "."));
  const parts = swapped.split("/");
  return parts.some((part) => part === "" || part === "." || part === "..") ? undefined : swapped;
}
