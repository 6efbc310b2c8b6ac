/**
 * Times a launch, and calls it off at the caller's abort or when its deadline has passed.
 *
 * When the launch is over, no timer and no listener is left.
 */
import { type BlazarError, blazarError } from "../../contracts/errors.ts";
import { cancelled, onAbort } from "../../lib/async.ts";
import { clearDeadline, type DeadlineTimer, setDeadline } from "../../lib/deadline-timer.ts";

/** Why the signal of a launch that is over aborts: one for all, as without a reason each would get an exception. */
const OVER = "the launch is over";

/** A step of a launch, and when it was reached. */
export interface LaunchStep {
  readonly step: string;
  readonly ms: number;
}

export class LaunchWatch {
  readonly timeline: LaunchStep[] = [];
  private readonly controller = new AbortController();
  private readonly started = performance.now();
  private readonly timer: DeadlineTimer;
  private readonly forget: () => void;
  private why: "cancelled" | "late" | undefined;

  constructor(
    private readonly what: {
      readonly vmm: string;
      readonly id: string;
      readonly launchMs: number;
      /** For errors; default: a start. */
      readonly operation?: string;
    },
    caller: AbortSignal | undefined,
  ) {
    this.timer = setDeadline(() => this.stop("late"), what.launchMs);
    this.forget = onAbort(caller, () => this.stop("cancelled"));
  }

  /** Aborts when the launch is called off, and when it is over. */
  get signal(): AbortSignal {
    return this.controller.signal;
  }

  step(name: string): void {
    this.timeline.push({ step: name, ms: performance.now() - this.started });
  }

  /** Throws if the launch has been called off. */
  check(): void {
    const reason = this.reason();
    if (reason !== undefined) throw reason;
  }

  /** Why the launch was called off; undefined if it was not. */
  reason(): BlazarError | undefined {
    const { vmm, id, launchMs, operation = "start the VMM" } = this.what;
    if (this.why === undefined) return undefined;
    if (this.why === "cancelled") return cancelled({ operation, subject: id });
    const late = `${vmm} did not answer in ${launchMs} ms`;
    return blazarError("DeadlineExceeded", operation, late, { subject: id });
  }

  /** Whoever still waits for {@link signal} is let go. */
  end(): void {
    clearDeadline(this.timer);
    this.forget();
    this.controller.abort(OVER);
  }

  private stop(why: "cancelled" | "late"): void {
    this.why ??= why;
    this.controller.abort();
  }
}
