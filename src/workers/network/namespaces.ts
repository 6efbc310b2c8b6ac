/**
 * Network namespaces by path, and work in one of them on this thread: setns(2), unshare(2), ioctl_ns(2).
 *
 * A thread that has gone elsewhere comes back whatever happens. If it cannot, it ends: its next task would work on
 * somebody else's network. Work is synchronous from beginning to end. For workers only.
 */
import { constants, fstatSync, statSync } from "node:fs";
import { constants as os } from "node:os";
import { blazarError } from "../../contracts/errors.ts";
import { closeDescriptor, libc, openFile, systemError, valueOr } from "../libc/libc.ts";

const CLONE_NEWNET = 0x4000_0000;
const NS_GET_NSTYPE = 0xb703;
const OWN = "/proc/thread-self/ns/net";

const cSetns = libc.func("int setns(int fd, int type)");
const cUnshare = libc.func("int unshare(int flags)");
const cIoctl = libc.func("int ioctl(int fd, unsigned long request)");

/** Tells a namespace from every other one for as long as it exists. */
export interface NamespaceIdentity {
  readonly device: number;
  readonly inode: number;
}

/** An open network namespace. It lives until it is closed, even if its path is removed. */
export class NetworkNamespace {
  private constructor(
    readonly fd: number,
    readonly identity: NamespaceIdentity,
  ) {}

  /** Undefined if there is none at the path: no such file, or one that is no network namespace. Throws HostResource. */
  static find(path: string): NetworkNamespace | undefined {
    // a FIFO must not stop the thread
    const fd = openFile(path, constants.O_RDONLY | constants.O_NONBLOCK);
    if (fd === -os.errno.ENOENT || fd === -os.errno.ENOTDIR) return undefined;
    if (fd < 0)
      throw systemError("HostResource", -fd, { operation: "open a network namespace", subject: path });
    if (valueOr(cIoctl(fd, NS_GET_NSTYPE)) !== CLONE_NEWNET) {
      closeDescriptor(fd);
      return undefined;
    }
    const { dev: device, ino: inode } = fstatSync(fd);
    return new NetworkNamespace(fd, { device, inode });
  }

  /** Throws HostResource if there is none at the path. */
  static open(path: string): NetworkNamespace {
    const found = NetworkNamespace.find(path);
    if (found !== undefined) return found;
    const reason = "there is no network namespace at this path";
    const remedy = "remove the pod: its network is gone, or its CNI plugin has failed";
    throw blazarError("HostResource", "open a network namespace", reason, { subject: path, remedy });
  }

  /** Does something in a namespace that nobody has ever seen, and that ends with it. As {@link run}. */
  static runInNew<T>(work: () => T): T {
    return away(() => valueOr(cUnshare(CLONE_NEWNET)), "make a network namespace", work);
  }

  /** It is the one of this thread: blazard's. */
  get isOwn(): boolean {
    const { dev, ino } = statSync(OWN);
    return dev === this.identity.device && ino === this.identity.inode;
  }

  /** Does something in it. `work` must not wait for anything. Throws HostResource, or what `work` throws. */
  run<T>(work: () => T): T {
    return away(() => valueOr(cSetns(this.fd, CLONE_NEWNET)), "enter a network namespace", work);
  }

  close(): void {
    closeDescriptor(this.fd);
  }
}

/** @param leave takes the thread elsewhere; a negative errno if it cannot */
function away<T>(leave: () => number, operation: string, work: () => T): T {
  const home = openFile(OWN, constants.O_RDONLY);
  if (home < 0) throw systemError("HostResource", -home, { operation: "leave the own network namespace" });
  try {
    const left = leave();
    if (left < 0) throw systemError("HostResource", -left, { operation });
    try {
      return work();
    } finally {
      // in a worker this ends the thread alone
      if (cSetns(home, CLONE_NEWNET) !== 0) process.exit(1);
    }
  } finally {
    closeDescriptor(home);
  }
}
