/**
 * Network namespaces by path, and work in one of them on this thread: setns(2), ioctl_ns(2), by koffi.
 *
 * A thread that has gone elsewhere comes back whatever happens. If it cannot, it ends: its next task would work on
 * somebody else's network. Work is synchronous from beginning to end. For workers only.
 */
import { constants, fstatSync, statSync } from "node:fs";
import { constants as os } from "node:os";
import { blazarError } from "../../contracts/errors.ts";
import { closeDescriptor, libc, openFile, systemError, valueOr } from "../libc.ts";

const CLONE_NEWNET = 0x4000_0000;
const NS_GET_NSTYPE = 0xb703;
const OWN = "/proc/thread-self/ns/net";

const cSetns = libc.func("int setns(int fd, int type)");
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

  /** It is the one of this thread: blazard's. */
  get isOwn(): boolean {
    const { dev, ino } = statSync(OWN);
    return dev === this.identity.device && ino === this.identity.inode;
  }

  /** Does something in it. `work` must not wait for anything. Throws HostResource, or what `work` throws. */
  run<T>(work: () => T): T {
    const home = openFile(OWN, constants.O_RDONLY);
    if (home < 0) throw systemError("HostResource", -home, { operation: "leave the own network namespace" });
    try {
      const entered = valueOr(cSetns(this.fd, CLONE_NEWNET));
      if (entered < 0)
        throw systemError("HostResource", -entered, { operation: "enter a network namespace" });
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

  close(): void {
    closeDescriptor(this.fd);
  }
}
