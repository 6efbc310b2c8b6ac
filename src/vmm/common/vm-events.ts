/**
 * What a VM tells by itself, in order and each change once; its end is told to whoever comes late, too.
 */
import { Observable, Subject } from "rxjs";
import type { DiskFailed, VmmEvent } from "../../contracts/vm.ts";
import type { RunningProcess, VmmExit } from "./running-process.ts";

/** A guest that writes to a full disk fails thousands of times a second. */
const QUIET_MS = 1000;
/** Disks and kinds of failures in that time: somebody who has taken a VMM over can name any number of disks. */
const MOST_KINDS = 32;
/** Changes that may come at once: a VM is paused and resumed a few times in its life. */
const MOST_CHANGES = 32;
/** Each change beyond that waits for so long; what has been undone by then is not told. */
const CHANGE_MS = 500;

export class VmEvents {
  readonly events$: Observable<VmmEvent>;
  private readonly live = new Subject<VmmEvent>();
  /** When a failure of this disk and kind was told last, the longest ago first. */
  private readonly failures = new Map<string, number>();
  /** What was told last. */
  private told: boolean;
  private changes = MOST_CHANGES;
  private countedAt: number;
  private later: NodeJS.Timeout | undefined;

  /**
   * @param paused whether it is, to begin with
   * @param now milliseconds of any clock that never goes back
   */
  constructor(
    process: RunningProcess,
    private paused = false,
    private readonly now: () => number = () => performance.now(),
  ) {
    this.told = paused;
    this.countedAt = now();
    this.events$ = new Observable((subscriber) => {
      if (process.exit === undefined) return this.live.subscribe(subscriber);
      subscriber.next({ type: "vmm.exited", ...process.exit });
      subscriber.complete();
      return undefined;
    });
  }

  setPaused(paused: boolean): void {
    this.paused = paused;
    if (this.told === paused || this.later !== undefined) return;
    const now = this.now();
    this.changes = Math.min(MOST_CHANGES, this.changes + (now - this.countedAt) / CHANGE_MS);
    this.countedAt = now;
    if (this.changes >= 1) return this.tellPaused();
    this.later = setTimeout(() => {
      this.later = undefined;
      this.setPaused(this.paused);
    }, CHANGE_MS);
    this.later.unref();
  }

  private tellPaused(): void {
    this.changes--;
    this.told = this.paused;
    this.live.next({ type: this.paused ? "vmm.paused" : "vmm.resumed" });
  }

  /** A request to a disk has failed on the host; bounded as {@link DiskFailed} says. */
  diskFailed(event: Omit<DiskFailed, "type">): void {
    const kind = `${event.disk} ${event.operation} ${event.noSpace}`;
    const now = this.now();
    if (now - (this.failures.get(kind) ?? Number.NEGATIVE_INFINITY) < QUIET_MS) return;
    for (const [known, at] of this.failures) {
      if (now - at < QUIET_MS) break;
      this.failures.delete(known);
    }
    if (this.failures.size >= MOST_KINDS) return;
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
    clearTimeout(this.later);
    this.live.next({ type: "vmm.exited", ...exit });
    this.live.complete();
  }
}
