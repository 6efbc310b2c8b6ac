/**
 * Measures how late the event loop is: a histogram of timer delays (perf_hooks' monitorEventLoopDelay).
 *
 * It wakes the loop a hundred times a second. So it starts only at the first reading, and counts from one reading to
 * the next. A delay is the time by which a timer was late, without its own period.
 */
import { type IntervalHistogram, monitorEventLoopDelay } from "node:perf_hooks";

/** Delays since the previous reading, in milliseconds. */
export interface LoopDelay {
  readonly samples: number;
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
}

const PERIOD_MS = 10;
const NANOSECONDS = 1e6;

export class LoopDelayMonitor {
  private histogram: IntervalHistogram | undefined;

  /** The delays since the previous call. The first call starts the measuring and returns undefined. */
  read(): LoopDelay | undefined {
    const { histogram } = this;
    if (histogram === undefined) {
      this.histogram = monitorEventLoopDelay({ resolution: PERIOD_MS });
      this.histogram.enable();
      return undefined;
    }
    const reading = {
      samples: histogram.count,
      p50: late(histogram.percentile(50)),
      p99: late(histogram.percentile(99)),
      max: late(histogram.max),
    };
    histogram.reset();
    return reading;
  }

  /** Ends the measuring; the next reading starts it again. */
  stop(): void {
    this.histogram?.disable();
    this.histogram = undefined;
  }
}

function late(nanoseconds: number): number {
  return Math.max(0, nanoseconds / NANOSECONDS - PERIOD_MS);
}
