/**
 * What a start is given before it is asked for: a warm VM, which is made the pod's while its sandbox is still being made.
 *
 * containerd's Create and Start are milliseconds apart, and a guest's set-up takes most of a start from the pool. The VM
 * keeps its own journal until it is adopted; whoever has the head start ends it if there is no adoption.
 */
import type { GuestLink } from "../guest/link.ts";
import type { GuestSetUp } from "../guest/setup.ts";
import { answers, type WarmVm } from "./vm-supply.ts";

/** That a guest was set up proves that it is alive, for so long. */
const FRESH_MS = 1_000;

/** Sets a guest up for one certain pod. */
export type SetUp = (guest: GuestLink, signal: AbortSignal) => Promise<GuestSetUp>;

export class HeadStart {
  /** Rejects with what the set-up rejects with, Cancelled after {@link cancel}. */
  readonly ready: Promise<GuestSetUp>;
  /** The VM's way into the sandbox's control groups, once it has begun. */
  entered: Promise<void> | undefined;
  private readonly giveUp = new AbortController();
  private readyAt: number | undefined;
  private failed = false;

  constructor(
    readonly warm: WarmVm,
    guest: GuestLink,
    setUp: SetUp,
    private readonly now: () => number,
  ) {
    this.ready = setUp(guest, this.giveUp.signal);
    this.ready.then(
      () => {
        this.readyAt = now();
      },
      () => {
        this.failed = true;
      },
    );
  }

  /** False: the VM is to be ended and another one taken. A set-up that still goes on may yet fail. */
  async usable(): Promise<boolean> {
    const { vm, guest } = this.warm;
    // not a callback of its own: that would keep the warm VM's handles for as long as the pod lives
    const exit = await Promise.race([vm?.exited, undefined]);
    if (this.failed || exit !== undefined || guest?.alive !== true) return false;
    if (this.readyAt === undefined || this.now() - this.readyAt < FRESH_MS) return true;
    return answers(this.warm);
  }

  /** Moves the VM into control groups, which waits for the kernel's grace periods: it begins before anybody waits for it. */
  enter(move: (pid: number) => Promise<void>): void {
    const { vm } = this.warm;
    if (vm === undefined) return;
    this.entered = move(vm.identity.pid);
    this.entered.catch(() => undefined);
  }

  /** Ends a set-up that still goes on; the VM stays. */
  cancel(): void {
    this.giveUp.abort();
  }
}
