/**
 * The share: what a file server on the host serves over a virtio-serial port, mounted by 9p (kernel: filesystems/9p).
 *
 * The kernel's 9p client talks over descriptors (`trans=fd`), but it cannot read a port by itself: two children of the
 * agent, the pumps, copy between the port and a socket pair whose other end is the client's. A pump that ends takes the
 * other one with it, and the mount then answers with EIO.
 */
import * as sys from "sys";
import { check, checkValue, failure } from "../../../native/runtime/check.ts";
import { cloneChild } from "../../../native/runtime/child.ts";
import { makeDirectories } from "../../../native/runtime/files.ts";
import { poll } from "../../../native/runtime/promises.ts";
import { blazarError } from "../../../src/contracts/errors.ts";
import type { ShareKind } from "../../../src/contracts/share-kind.ts";
import { SHARE_PATHS, SHARE_PORTS } from "../../../src/protocol/guest/messages.ts";
import type { AgentContext } from "../context.ts";
import { findPort } from "../link/ports.ts";

/** The guest checks permissions, and all of its users have the same of the server: one attach is enough. */
const OPTIONS = "trans=fd,version=9p2000.L,msize=512000,cache=loose,access=any";
/** The port was plugged in before the host asked for the mount. */
const PORT_WITHIN_MS = 10_000;
/** Above the numbers that a pump's descriptors get. */
const FIRST_COPY = 8;

/** Two processes that copy between the port and the client. */
interface Pumps {
  readonly pids: Set<number>;
}

/** Both shares that a guest can have. */
export type Shares = { readonly [Kind in ShareKind]: Share };

export function sharesOf(context: AgentContext): Shares {
  return { layers: new Share(context, "layers"), volumes: new Share(context, "volumes") };
}

export class Share {
  private readonly context: AgentContext;
  private readonly kind: ShareKind;
  private pumps: Pumps | undefined;
  private last: Promise<void> = Promise.resolve();

  constructor(context: AgentContext, kind: ShareKind) {
    this.context = context;
    this.kind = kind;
  }

  /** Mounts what is served at the share's port, unless it is mounted. Throws, leaving nothing. */
  mount(): Promise<void> {
    return this.afterwards(async () => {
      if (this.pumps?.pids.size === 2) return;
      this.release();
      await this.mountAt(SHARE_PORTS[this.kind]);
    });
  }

  /** Unmounts the share and lets go of its port. There may be none. */
  unmount(): Promise<void> {
    return this.afterwards(() => Promise.resolve(this.release()));
  }

  private afterwards(work: () => Promise<void>): Promise<void> {
    this.last = this.last.catch(() => undefined).then(work);
    return this.last;
  }

  private async mountAt(port: string): Promise<void> {
    const fd = await this.openPort(port);
    let client = -1;
    try {
      const [own, pumped] = checkValue(sys.socketpair(0), "make a socket pair for the share");
      client = own;
      try {
        this.pumps = { pids: new Set() };
        this.startPump(this.pumps, fd, pumped);
        this.startPump(this.pumps, pumped, fd);
      } finally {
        sys.close(pumped);
      }
      mount9p(client, SHARE_PATHS[this.kind]);
    } catch (error) {
      this.release();
      throw error;
    } finally {
      sys.close(fd);
      // the mount holds it
      if (client >= 0) sys.close(client);
    }
  }

  /** Opens the port, once it is there and its host has connected: before that it reads as ended. */
  private async openPort(port: string): Promise<number> {
    let fd = -1;
    const ready = await poll(this.context.loop, PORT_WITHIN_MS, () => {
      const path = fd < 0 ? findPort(port) : undefined;
      if (path !== undefined) fd = sys.open(path, sys.O_RDWR);
      return fd >= 0 && (sys.poll1(fd, sys.POLLOUT, 0) & (sys.POLLHUP | sys.POLLOUT)) === sys.POLLOUT
        ? fd
        : undefined;
    });
    if (ready !== undefined) return ready;
    const reason = fd < 0 ? "there is no such port" : "the host has not connected to it";
    if (fd >= 0) sys.close(fd);
    throw blazarError("MountFailed", "mount the share", reason, { subject: port });
  }

  private startPump(pumps: Pumps, from: number, to: number): void {
    const pid = cloneChild({}, () => pump(from, to));
    pumps.pids.add(pid);
    this.context.reaper.onExit(pid, () => {
      pumps.pids.delete(pid);
      for (const other of pumps.pids) sys.kill(other, sys.SIGKILL);
      if (this.pumps === pumps)
        this.context.logger.warn("a share's connection to the host has ended", { share: this.kind });
    });
  }

  private release(): void {
    const { pumps } = this;
    this.pumps = undefined;
    if (pumps === undefined) return;
    sys.umount2(SHARE_PATHS[this.kind], sys.MNT_DETACH);
    for (const pid of pumps.pids) sys.kill(pid, sys.SIGKILL);
  }
}

function mount9p(client: number, target: string): void {
  makeDirectories(target);
  const flags = sys.MS_RDONLY | sys.MS_NODEV | sys.MS_NOATIME;
  const result = sys.mount("share", target, "9p", flags, `${OPTIONS},rfdno=${client},wfdno=${client}`);
  if (result < 0) throw failure(result, "MountFailed", "mount the sandbox's share", target);
}

/** In the child, which keeps these two descriptors and nothing else of the agent's. */
function pump(from: number, to: number): number {
  sys.writeFile("/proc/self/comm", "share-pump", sys.O_WRONLY);
  // the agent's own may have these two numbers
  const [a, b] = [checkedDup(from), checkedDup(to)];
  check(sys.dup2(a, 0), "place a pump's descriptor");
  check(sys.dup2(b, 1), "place a pump's descriptor");
  sys.closeRange(2, 0xffff_ffff, 0);
  sys.pump(0, 1);
  // the client's end reads as ended, and so does the other pump's
  sys.shutdown(0, sys.SHUT_RDWR);
  sys.shutdown(1, sys.SHUT_RDWR);
  return 0;
}

function checkedDup(fd: number): number {
  return check(sys.fcntl(fd, sys.F_DUPFD_CLOEXEC, FIRST_COPY), "copy a pump's descriptor");
}
