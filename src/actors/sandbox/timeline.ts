/**
 * Where the time of a sandbox goes: its states in order, each with how long it was held.
 */
export interface TimelineStep {
  readonly state: string;
  /** Milliseconds. */
  readonly ms: number;
  /** Something that happened in this state; it took no time. */
  readonly note?: string;
}

/** States remembered: enough for a whole life, bounded for a long one that is paused and resumed. */
const MOST_STEPS = 64;

export class Timeline {
  readonly steps: TimelineStep[] = [];
  private state = "";
  private since = 0;

  constructor(private readonly now: () => number) {}

  /** Something worth to know has happened. */
  noted(note: string): void {
    if (this.steps.length < MOST_STEPS) this.steps.push({ state: this.state, ms: 0, note });
  }

  entered(state: string): void {
    if (state === this.state) return;
    const now = this.now();
    if (this.state !== "") {
      const ms = now - this.since;
      if (this.steps.length < MOST_STEPS) this.steps.push({ state: this.state, ms });
    }
    this.state = state;
    this.since = now;
  }
}
