/**
 * A warm VM that is promised to a sandbox while the sandbox is still being made, and whose guest is set up meanwhile.
 *
 * containerd's Create and Start are milliseconds apart, and a guest's set-up takes most of a start from the pool. The VM
 * keeps its own journal until it is adopted. Whoever has the reservation ends the VM if there is no adoption.
 */
import type { GuestLink } from "../guest/link.ts";
import type { GuestSetUp } from "../guest/setup.ts";
import type { GuestVm } from "../vm/guest-vm.ts";
import { answers } from "./liveness.ts";

/** That a guest was set up proves that it is alive, for so long. */
const FRESH_MS = 1_000;

/** Sets a guest up for one certain pod. */
export type SetUp = (guest: GuestLink, signal: AbortSignal) => Promise<GuestSetUp>;

export class Reservation {
  /** Rejects with what the set-up rejects with, Cancelled after {@link cancel}. */
  readonly ready: Promise<GuestSetUp>;
  /** The VM's way into the sandbox's control groups, once it has begun. */
  entered: Promise<void> | undefined;
  private readonly calledOff = new AbortController();
  private readyAt: number | undefined;
  private failed = false;

  constructor(
    readonly warm: GuestVm,
    guest: GuestLink,
    setUp: SetUp,
    private readonly now: () => number,
  ) {
    this.ready = setUp(guest, this.calledOff.signal);
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
    const { vm, alive } = this.warm;
    // not a callback of its own: that would keep the warm VM's handles for as long as the pod lives
    const exit = await Promise.race([vm.exited, undefined]);
    if (this.failed || exit !== undefined || !alive) return false;
    if (this.readyAt === undefined || this.now() - this.readyAt < FRESH_MS) return true;
    return answers(this.warm);
  }

  /** Moves the VM into control groups. That waits for the kernel's grace periods, so it begins before anybody waits. */
  enter(move: (pid: number) => Promise<void>): void {
    this.entered = move(this.warm.vm.identity.pid);
    this.entered.catch(() => undefined);
  }

  /** Ends a set-up that still goes on; the VM stays. */
  cancel(): void {
    this.calledOff.abort();
  }
}
