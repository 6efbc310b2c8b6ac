/**
 * How much of the daemon's main loop one guest may take with what it sends, and what happens to one that takes more.
 *
 * A guest may send anything at any rate: its link is served by the thread that serves all pods. So the time that its bytes
 * take is counted, and something for each read, which the engine needs before it hands over the first of them: single bytes would
 * cost next to nothing otherwise. A guest that has used up its share is not read for a while; its bytes wait in the kernel, and it waits.
 * What a pod writes to its streams does not come near the share: it comes in large pieces (docs/performance-notes.md).
 */
import type { ByteLink } from "../../contracts/vm.ts";
import { Crowd } from "./crowd.ts";

/** Links of one process are served by one thread. */
const CROWD = new Crowd();
/** Of one thread, over time. */
const SHARE = 0.2;
/** What may come at once after a quiet time, in milliseconds of work. */
const BURST_MS = 100;
/** A link that was held goes on with so many milliseconds. */
const RESUME_MS = 10;
/** A guest is not charged for more at once: the whole process may have been stopped meanwhile. */
const MOST_DEBT_MS = 50;
const LONGEST_HOLD_MS = 2_000;
/** Of a read, beside the work that is measured: 5 µs and more, for epoll_wait(2), read(2) and the way into JavaScript. */
const READ_MS = 0.005;

export interface IntakeOptions {
  readonly link: Pick<ByteLink, "pause" | "resume">;
  /** It is not read for so many milliseconds. */
  readonly onHeld: (ms: number) => void;
  /** Default: that of this process. */
  readonly crowd?: Crowd;
}

export class Intake {
  /** Milliseconds of work that are left. */
  private credit = BURST_MS;
  private countedAt = performance.now();
  private timer: NodeJS.Timeout | undefined;

  private readonly crowd: Crowd;

  constructor(private readonly options: IntakeOptions) {
    this.crowd = options.crowd ?? CROWD;
  }

  /** Does what the guest's bytes ask for, and counts its time. */
  take(work: () => void): void {
    const began = performance.now();
    work();
    const now = performance.now();
    const earned = Math.min(BURST_MS, this.credit + (began - this.countedAt) * this.share);
    const cost = now - began + READ_MS;
    this.credit = Math.max(-MOST_DEBT_MS, earned - cost);
    this.countedAt = now;
    this.crowd.add(Math.min(BURST_MS, cost));
    if (this.credit < 0 && this.timer === undefined) this.hold();
  }

  /** The link is closed. */
  end(): void {
    clearTimeout(this.timer);
  }

  private get share(): number {
    return SHARE * this.crowd.leftOfShare;
  }

  private hold(): void {
    const ms = Math.min(LONGEST_HOLD_MS, Math.ceil((RESUME_MS - this.credit) / this.share));
    this.options.link.pause();
    this.timer = setTimeout(() => {
      this.timer = undefined;
      this.options.link.resume();
    }, ms);
    this.timer.unref?.();
    this.options.onHeld(ms);
  }
}
