/**
 * How long states are held that wait for something: of each the last few hundred times, for p50 and p99.
 */
import type { StepFigures } from "../../contracts/inspection.ts";

/** Times that are remembered of a state: two kilobytes. */
const REMEMBERED = 256;

class Times {
  private readonly times = new Float64Array(REMEMBERED);
  private next = 0;
  count = 0;

  add(ms: number): void {
    this.times[this.next] = ms;
    this.next = (this.next + 1) % REMEMBERED;
    this.count = Math.min(this.count + 1, REMEMBERED);
  }

  get sorted(): Float64Array {
    return this.times.slice(0, this.count).sort();
  }
}

export class Figures {
  private readonly steps = new Map<string, Times>();

  add(step: string, ms: number): void {
    let times = this.steps.get(step);
    if (times === undefined) {
      times = new Times();
      this.steps.set(step, times);
    }
    times.add(ms);
  }

  of(step: string): StepFigures | undefined {
    const times = this.steps.get(step);
    return times && figuresOf(step, times);
  }

  get all(): StepFigures[] {
    return [...this.steps].map(([step, times]) => figuresOf(step, times));
  }
}

function figuresOf(step: string, times: Times): StepFigures {
  const { sorted } = times;
  return { step, count: times.count, p50: quantile(sorted, 0.5), p99: quantile(sorted, 0.99) };
}

/** Nearest rank. */
function quantile(sorted: Float64Array, share: number): number {
  return sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)] ?? 0;
}
