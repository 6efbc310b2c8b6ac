/**
 * A share: what a file server on the host serves over a virtio-serial port, mounted by FUSE (fuse(4), and the kernel's
 * filesystems/fuse).
 *
 * The kernel's client gives its requests to whoever has opened /dev/fuse. That is a child of the agent, the pump, which
 * carries them to the port and brings the replies. When the pump ends, the kernel answers all that waits with an error; so
 * a server that is dead or hangs holds nobody up.
 */
import * as sys from "sys";
import { check, failure } from "../../../native/runtime/check.ts";
import { cloneChild } from "../../../native/runtime/child.ts";
import { makeDirectories } from "../../../native/runtime/files.ts";
import { poll } from "../../../native/runtime/promises.ts";
import { blazarError } from "../../../src/contracts/errors.ts";
import type { ShareKind } from "../../../src/contracts/share-kind.ts";
import { SHARE_PATHS, SHARE_PORTS } from "../../../src/protocol/guest/messages.ts";
import type { AgentContext } from "../context.ts";
import { findPort } from "../link/ports.ts";

const DEVICE = "/dev/fuse";
/** The guest checks permissions, for all of its users. */
const OPTIONS = "rootmode=40000,user_id=0,group_id=0,default_permissions,allow_other";
/** As set-uid programs of an image or a volume are: a mount of a container may forbid them. */
const FLAGS: { readonly [Kind in ShareKind]: number } = {
  layers: sys.MS_RDONLY | sys.MS_NODEV | sys.MS_NOATIME,
  volumes: sys.MS_NODEV,
};
/** The port was plugged in before the host asked for the mount. */
const PORT_WITHIN_MS = 10_000;
/** What was mapped and changed is written back until then. */
const WRITTEN_BACK_WITHIN_MS = 5_000;
/** Above the numbers that a pump's descriptors get. */
const FIRST_COPY = 8;

/** The process that carries messages; undefined = it has ended. */
interface Pump {
  pid: number | undefined;
}

/** Both shares that a guest can have. */
export type Shares = { readonly [Kind in ShareKind]: Share };

export function sharesOf(context: AgentContext): Shares {
  return { layers: new Share(context, "layers"), volumes: new Share(context, "volumes") };
}

export class Share {
  private readonly context: AgentContext;
  private readonly kind: ShareKind;
  private pump: Pump | undefined;
  private last: Promise<void> = Promise.resolve();

  constructor(context: AgentContext, kind: ShareKind) {
    this.context = context;
    this.kind = kind;
  }

  /** Mounts what is served at the share's port, unless it is mounted. Throws, leaving nothing. */
  mount(): Promise<void> {
    return this.afterwards(async () => {
      if (this.pump?.pid !== undefined) return;
      await this.release();
      await this.mountAt(SHARE_PORTS[this.kind]);
    });
  }

  /** Unmounts the share and lets go of its port. There may be none. */
  unmount(): Promise<void> {
    return this.afterwards(() => this.release());
  }

  /** Whoever waits for the server gets an error now, and so does all that uses the share later. */
  abort(): void {
    const pid = this.pump?.pid;
    if (pid !== undefined) sys.kill(pid, sys.SIGKILL);
  }

  private afterwards(work: () => Promise<void>): Promise<void> {
    this.last = this.last.catch(() => undefined).then(work);
    return this.last;
  }

  private async mountAt(port: string): Promise<void> {
    const stream = await this.openPort(port);
    let device = -1;
    try {
      device = check(sys.open(DEVICE, sys.O_RDWR), "open the device of file servers", DEVICE);
      this.mountDevice(device);
      this.startPump(device, stream);
    } catch (error) {
      sys.umount2(SHARE_PATHS[this.kind], sys.MNT_DETACH);
      throw error;
    } finally {
      // the pump alone has them: its end is the end of the connection
      sys.close(stream);
      if (device >= 0) sys.close(device);
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

  private mountDevice(device: number): void {
    const target = SHARE_PATHS[this.kind];
    makeDirectories(target);
    const result = sys.mount(this.kind, target, "fuse", FLAGS[this.kind], `fd=${device},${OPTIONS}`);
    if (result < 0) throw failure(result, "MountFailed", "mount the sandbox's share", target);
  }

  private startPump(device: number, stream: number): void {
    const pump: Pump = { pid: cloneChild({}, () => carry(device, stream)) };
    this.pump = pump;
    this.context.reaper.onExit(pump.pid ?? -1, () => {
      pump.pid = undefined;
      if (this.pump === pump)
        this.context.logger.warn("a share's connection to the host has ended", { share: this.kind });
    });
  }

  /** A child unmounts, because writing back what is left may wait for the server. */
  private async release(): Promise<void> {
    const { pump } = this;
    this.pump = undefined;
    if (pump === undefined) return;
    const target = SHARE_PATHS[this.kind];
    let unmounted = false;
    const pid = cloneChild({}, () => (sys.umount2(target, sys.MNT_DETACH) < 0 ? 1 : 0));
    this.context.reaper.onExit(pid, () => {
      unmounted = true;
    });
    await poll(this.context.loop, WRITTEN_BACK_WITHIN_MS, () => (unmounted ? true : undefined));
    if (pump.pid !== undefined) sys.kill(pump.pid, sys.SIGKILL);
  }
}

/** In the child, which keeps these two descriptors and nothing else of the agent's. */
function carry(device: number, stream: number): number {
  sys.writeFile("/proc/self/comm", "share-pump", sys.O_WRONLY);
  // the agent's own may have these two numbers
  const [a, b] = [checkedDup(device), checkedDup(stream)];
  check(sys.dup2(a, 0), "place a pump's descriptor");
  check(sys.dup2(b, 1), "place a pump's descriptor");
  sys.closeRange(2, 0xffff_ffff, 0);
  return -sys.fusePump(0, 1);
}

function checkedDup(fd: number): number {
  return check(sys.fcntl(fd, sys.F_DUPFD_CLOEXEC, FIRST_COPY), "copy a pump's descriptor");
}
