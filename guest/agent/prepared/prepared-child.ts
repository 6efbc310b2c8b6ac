/**
 * The prepared child: a child of the agent that is cloned before its container is known, in warm VMs and in templates.
 *
 * A clone costs an emulated guest a good part of a container's start: page tables, then a fault and a copy for each page
 * that parent or child writes to. The prepared child has all of that behind it when its order comes. It makes the
 * container's first process by `handOver`, in its own memory, and ends soon after. So the process is as new as any other:
 * pid, start time, namespaces and cgroup are those of the moment. If there is no prepared child, or it cannot take the
 * order, the agent clones itself (process.ts).
 */
import * as sys from "sys";
import { check, checkValue } from "../../../native/runtime/check.ts";
import { type ChildReaper, cloneChild } from "../../../native/runtime/child.ts";
import type { EventLoop, Watch } from "../../../native/runtime/event-loop.ts";
import { deferred } from "../../../native/runtime/promises.ts";
import { becomeFirstProcess, type FirstProcess } from "../process/first-process.ts";
import { parseMountOptions } from "../root/mount-options.ts";
import type { PodDescriptors } from "../sandbox/user-namespace.ts";
import { type DeviceMounts, prepareDevices } from "./prepared-devices.ts";

/** Fits the buffer of a socket, so that an order is sent whole or not at all. */
const MAX_ORDER_BYTES = 64 * 1024;
const LENGTH_BYTES = 4;
/** The order's socket in the child, after stdio. */
const ORDERS_FD = 3;

/** What the child shall become: always a container's first process. The sender still has to close its descriptors. */
export type Order = FirstProcess;

/** The parts of an order that are not descriptors. */
type OrderValues = Pick<Order, "process" | "seccomp" | "root" | "namespaces">;

export class PreparedChild {
  private readonly socket: number;
  private readonly watch: Watch;
  private readonly readiness = deferred<boolean>();
  private readonly departure = deferred<void>();
  private isReady = false;

  /** `likely`: the mounts that its container will probably have. */
  constructor(loop: EventLoop, reaper: ChildReaper, likely: DeviceMounts) {
    const [child, own] = checkValue(sys.socketpair(0), "make a socket pair");
    check(sys.setNonblock(own, true), "make a socket non-blocking");
    let pid: number;
    try {
      pid = cloneChild({}, () => awaitOrder(child, likely));
    } catch (error) {
      sys.close(own);
      throw error;
    } finally {
      sys.close(child);
    }
    // always, or the reaper would keep its exit status
    reaper.onExit(pid, () => this.departure.resolve());
    this.socket = own;
    this.watch = loop.watch(own, { readable: () => this.greeted() });
  }

  /** Resolves with true when the child waits for its order, with false if it has ended. */
  get ready(): Promise<boolean> {
    return this.readiness.promise;
  }

  /** Resolves when the child has ended. */
  get gone(): Promise<void> {
    return this.departure.promise;
  }

  /** Hands the order over; nothing else may be done with the child afterwards. False if the child cannot take it. */
  give({ process, seccomp, root, namespaces, stdio, launch, cgroup, pod, pidNamespace }: Order): boolean {
    const values = new Uint8Array(
      sys.serialize({ process, seccomp, root, namespaces } satisfies OrderValues),
    );
    const bytes = new Uint8Array(LENGTH_BYTES + values.length);
    new DataView(bytes.buffer).setUint32(0, values.length);
    bytes.set(values, LENGTH_BYTES);
    const fds = [
      launch,
      cgroup,
      ...stdio,
      ...(pod === undefined ? [] : [pod.user, pod.ipc, pod.uts, pod.network]),
    ];
    if (pidNamespace !== "new") fds.push(pidNamespace);
    const taken =
      this.isReady &&
      bytes.length <= MAX_ORDER_BYTES &&
      sys.sendFds(this.socket, bytes.buffer, 0, bytes.length, fds) === bytes.length;
    this.end();
    return taken;
  }

  /** Closes the socket: a child that has no order ends then. */
  end(): void {
    this.watch.stop();
    sys.close(this.socket);
    this.readiness.resolve(false);
  }

  private greeted(): void {
    this.watch.setReadable(null);
    this.isReady = sys.read(this.socket, new ArrayBuffer(1), 0, 1) === 1;
    this.readiness.resolve(this.isReady);
  }
}

/** Prepares a child for the next container, and gives it the order. */
export class PreparedChildren {
  private child: PreparedChild | undefined;
  /** The mounts of the last container: the next one probably has the same. */
  private last: DeviceMounts = { mounts: [], sharedMemory: "" };
  private lastGone: Promise<void> = Promise.resolve();

  constructor(
    private readonly loop: EventLoop,
    private readonly reaper: ChildReaper,
  ) {}

  /** Prepares a child for the next container, unless there is one. */
  async prepare(): Promise<void> {
    // the last child stays for a moment after its work, and no template shall contain it
    await this.lastGone;
    if (this.child !== undefined) return;
    const child = new PreparedChild(this.loop, this.reaper, this.last);
    this.child = child;
    if (!(await child.ready)) {
      if (this.child === child) this.child = undefined;
      return;
    }
    // pages that the child has copied belong to the agent alone again; this takes the fault of each first write
    sys.populateMemory();
  }

  /** Hands the order to the prepared child. False if the agent has to clone itself instead. */
  give(order: Order): boolean {
    const child = this.child;
    this.child = undefined;
    this.last = order.root;
    if (child === undefined) return false;
    this.lastGone = child.gone;
    return child.give(order);
  }
}

/** In the child. Returns only if no order comes. */
function awaitOrder(socket: number, likely: DeviceMounts): number {
  const kept = check(sys.fcntl(socket, sys.F_DUPFD_CLOEXEC, ORDERS_FD + 1), "keep a descriptor");
  check(sys.dup3(kept, ORDERS_FD, sys.O_CLOEXEC), "keep a descriptor");
  // the agent's other descriptors hold ports and pipes open
  sys.closeRange(ORDERS_FD + 1, 0xffff_ffff, 0);
  // holds for the container's process, too, until it is executed: it shares this memory
  sys.prctl(sys.PR_SET_DUMPABLE, 0);
  for (const { options } of likely.mounts) parseMountOptions(options);
  const devices = prepareDevices(likely);
  const buffer = new Uint8Array(MAX_ORDER_BYTES).fill(1);
  sys.populateMemory();
  if (sys.write(ORDERS_FD, new ArrayBuffer(1), 0, 1) !== 1) return 0;
  const order = receive(ORDERS_FD, buffer);
  return order === undefined ? 0 : becomeFirstProcess(order, devices);
}

function receive(socket: number, buffer: Uint8Array<ArrayBuffer>): Order | undefined {
  const first = sys.recvFds(socket, buffer.buffer, 0, buffer.length);
  if (typeof first === "number") return undefined;
  const [count = 0, launch = -1, cgroup = -1, stdin = -1, stdout = -1, stderr = -1, ...more] = first;
  const view = new DataView(buffer.buffer);
  for (let length = count; length < LENGTH_BYTES || length < LENGTH_BYTES + view.getUint32(0); ) {
    const more = length === 0 ? 0 : sys.read(socket, buffer.buffer, length, buffer.length - length);
    if (more <= 0) return undefined;
    length += more;
  }
  const values = sys.deserialize(buffer.buffer, LENGTH_BYTES, view.getUint32(0)) as OrderValues;
  const stdio = [stdin, stdout, stderr];
  const pod =
    values.namespaces.maps === undefined ? undefined : podDescriptors(more.splice(0, POD_DESCRIPTORS));
  return { ...values, stdio, launch, cgroup, pod, pidNamespace: more[0] ?? "new" };
}

const POD_DESCRIPTORS = 4;

function podDescriptors([user = -1, ipc = -1, uts = -1, network = -1]: readonly number[]): PodDescriptors {
  return { user, ipc, uts, network };
}
