/**
 * Does something in another network namespace, on this thread: setns(2).
 *
 * Must be called by a worker, synchronously from beginning to end. A thread that could not come back would do all later work
 * in the wrong place, so the process ends in that case, which the kernel does not let happen.
 */
import { closeSync, constants, openSync } from "node:fs";
import { libc, systemError, valueOr } from "../libc.ts";

const CLONE_NEWNET = 0x4000_0000;
const cSetns = libc.func("int setns(int fd, int type)");

/** @param namespace descriptor of a network namespace */
export function inNamespace<T>(namespace: number, work: () => T): T {
  const home = openSync("/proc/thread-self/ns/net", constants.O_RDONLY);
  try {
    const entered = valueOr(cSetns(namespace, CLONE_NEWNET));
    if (entered < 0) throw systemError("HostResource", -entered, { operation: "enter a network namespace" });
    try {
      return work();
    } finally {
      if (cSetns(home, CLONE_NEWNET) !== 0) process.abort();
    }
  } finally {
    closeSync(home);
  }
}
