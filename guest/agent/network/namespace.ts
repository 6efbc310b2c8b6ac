/**
 * The agent in another network namespace for a moment: setns(2).
 *
 * It has one thread, so whatever it does meanwhile is done there. It comes back whatever is thrown.
 */
import * as sys from "sys";
import { check } from "../../../native/runtime/check.ts";

/** Opens the one that the agent is in. */
export function openNetworkNamespace(): number {
  return check(sys.open("/proc/self/ns/net", sys.O_RDONLY), "open the guest's network namespace");
}

/** Runs `use` in the namespace of this descriptor. */
export function withinNetwork<T>(namespace: number, use: () => T): T {
  const home = openNetworkNamespace();
  try {
    check(sys.setns(namespace, sys.CLONE_NEWNET), "enter the pod's network namespace");
    try {
      return use();
    } finally {
      check(sys.setns(home, sys.CLONE_NEWNET), "leave the pod's network namespace");
    }
  } finally {
    sys.close(home);
  }
}
