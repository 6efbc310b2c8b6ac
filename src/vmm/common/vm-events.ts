/**
 * What a VM tells by itself, in order and each change once; its end is told to whoever comes late, too.
 */
import { Observable, Subject } from "rxjs";
import type { DiskFailed, VmmEvent } from "../../contracts/vm.ts";
import type { RunningProcess, VmmExit } from "./running-process.ts";

/** A guest that writes to a full disk fails thousands of times a second. */
const QUIET_MS = 1000;

export class VmEvents {
  readonly events$: Observable<VmmEvent>;
  private readonly live = new Subject<VmmEvent>();
  /** When a failure of this disk and kind was told last. */
  private readonly failures = new Map<string, number>();

  /**
   * @param paused whether it is, to begin with
   * @param now milliseconds of any clock that never goes back
   */
  constructor(
    process: RunningProcess,
    private paused = false,
    private readonly now: () => number = () => performance.now(),
  ) {
    this.events$ = new Observable((subscriber) => {
      if (process.exit === undefined) return this.live.subscribe(subscriber);
      subscriber.next({ type: "vmm.exited", ...process.exit });
      subscriber.complete();
      return undefined;
    });
  }

  setPaused(paused: boolean): void {
    if (this.paused === paused) return;
    this.paused = paused;
    this.live.next({ type: paused ? "vmm.paused" : "vmm.resumed" });
  }

  /** A request to a disk has failed on the host; bounded as {@link DiskFailed} says. */
  diskFailed(event: Omit<DiskFailed, "type">): void {
    const kind = `${event.disk} ${event.operation} ${event.noSpace}`;
    const now = this.now();
    if (now - (this.failures.get(kind) ?? Number.NEGATIVE_INFINITY) < QUIET_MS) return;
    this.failures.set(kind, now);
    this.live.next({ type: "vmm.diskFailed", ...event });
  }

  /** The disk is gone; another one may get its id. */
  forgetDisk(disk: string): void {
    for (const kind of this.failures.keys()) if (kind.startsWith(`${disk} `)) this.failures.delete(kind);
  }

  /** The guest has ended. */
  guestEnded(event: VmmEvent & { readonly type: "vmm.guestShutdown" | "vmm.guestPanicked" }): void {
    this.live.next(event);
  }

  /** The VMM has ended: nothing comes after this. */
  exited(exit: VmmExit): void {
    this.live.next({ type: "vmm.exited", ...exit });
    this.live.complete();
  }
}
