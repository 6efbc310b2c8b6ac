/**
 * Taps for children, which must not be able to make or to move any: Documentation/networking/tuntap.rst of the kernel.
 *
 * They are made in a network namespace of the keeper's own, where they wait (down) until somebody moves them to where they
 * are wanted. A tap's descriptor stands for the namespace that it was made in, so a child learns nothing of the other one.
 * No name comes twice: whoever knows a tap by its name can never mean another one.
 */
import * as sys from "sys";
import { failure } from "../../native/runtime/check.ts";
import type { StartedProcess } from "../../src/protocol/keeper/messages.ts";
import { NetworkNamespace } from "./network-namespaces.ts";

const PREFIX = "blztap";

let parking: NetworkNamespace | undefined;
let made = 0;

/** Taps that are about to be handed to a child. */
export interface Taps {
  readonly fds: readonly number[];
  readonly parked: StartedProcess["taps"];
}

/** The descriptors are close-on-exec. Throws PermissionDenied or HostResource. */
export function makeTaps(count: number): Taps {
  if (count === 0) return { fds: [], parked: [] };
  parking ??= NetworkNamespace.make();
  const { path: namespace } = parking;
  const names = Array.from({ length: count }, () => `${PREFIX}${made++}`);
  return { fds: parking.inside(() => openAll(names)), parked: names.map((name) => ({ name, namespace })) };
}

function openAll(names: readonly string[]): number[] {
  const fds: number[] = [];
  for (const name of names) {
    const fd = sys.tapOpen(name);
    if (fd < 0) {
      for (const each of fds) sys.close(each);
      throw failure(
        fd,
        fd === -sys.EPERM ? "PermissionDenied" : "HostResource",
        "make a tap",
        "/dev/net/tun",
      );
    }
    fds.push(fd);
  }
  return fds;
}
