/**
 * Network namespaces of the keeper's own, for what children get but must not reach: network_namespaces(7), setns(2).
 *
 * A namespace is held by a descriptor. The keeper enters one for a moment to make something in it, and always comes back.
 * It must not await meanwhile.
 */
import * as sys from "sys";
import { check, failure } from "../../native/runtime/check.ts";

const OWN = "/proc/self/ns/net";

/** The keeper's own; opened at first need. */
let home: number | undefined;

export class NetworkNamespace {
  /** Path under which other processes find it, as long as the keeper lives. */
  readonly path: string;

  private constructor(private readonly fd: number) {
    this.path = `/proc/${sys.getpid()}/fd/${fd}`;
  }

  /** A new one, in which there is nothing. Throws PermissionDenied or HostResource. */
  static make(): NetworkNamespace {
    home ??= check(sys.open(OWN, sys.O_RDONLY), "open a network namespace");
    const made = sys.unshare(sys.CLONE_NEWNET);
    if (made < 0)
      throw failure(
        made,
        made === -sys.EPERM ? "PermissionDenied" : "HostResource",
        "make a network namespace",
      );
    try {
      return new NetworkNamespace(check(sys.open(OWN, sys.O_RDONLY), "open a network namespace"));
    } finally {
      goHome();
    }
  }

  /** One that somebody else has made. Takes over the descriptor. */
  static of(fd: number): NetworkNamespace {
    home ??= check(sys.open(OWN, sys.O_RDONLY), "open a network namespace");
    return new NetworkNamespace(fd);
  }

  /** Runs `work` in it. Throws what it throws. */
  inside<T>(work: () => T): T {
    return insideNamespace(this.fd, work);
  }
}

/** Runs `work` in somebody's namespace, which is there at this path. Throws what it throws, or HostResource. */
export function insideNamespaceAt<T>(path: string, work: () => T): T {
  // a FIFO must not stop the keeper
  const fd = sys.open(path, sys.O_RDONLY | sys.O_NONBLOCK);
  if (fd < 0) throw failure(fd, "HostResource", "open a network namespace", path);
  try {
    return insideNamespace(fd, work);
  } finally {
    sys.close(fd);
  }
}

function insideNamespace<T>(fd: number, work: () => T): T {
  home ??= check(sys.open(OWN, sys.O_RDONLY), "open a network namespace");
  check(sys.setns(fd, sys.CLONE_NEWNET), "enter a network namespace");
  try {
    return work();
  } finally {
    goHome();
  }
}

function goHome(): void {
  check(sys.setns(home ?? -1, sys.CLONE_NEWNET), "return to the keeper's network namespace");
}
