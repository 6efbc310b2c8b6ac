/**
 * How late the event loop is: a histogram of timer delays (perf_hooks' monitorEventLoopDelay).
 *
 * It wakes the loop a hundred times a second, so it runs only after it has been asked for, and each reading starts
 * the next one. A delay is what a timer was late by, its own period taken off.
 */
import { type IntervalHistogram, monitorEventLoopDelay } from "node:perf_hooks";

/** Delays since the reading before, in milliseconds. */
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

  /** What has been measured since the last call, then starts afresh; undefined at the first call, which starts it. */
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
