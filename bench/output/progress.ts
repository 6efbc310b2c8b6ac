/**
 * The progress of a run: on a terminal one line that changes, elsewhere a line now and then.
 *
 * Always on stderr: stdout is for the result.
 */
import type { Writable } from "node:stream";

/** Without a terminal, not more often than this. */
const QUIET_MS = 10_000;
const CLEAR_LINE = "\r\u001b[K";

export class Progress {
  private readonly started = performance.now();
  private last = Number.NEGATIVE_INFINITY;
  private pending = false;

  constructor(private readonly out: Writable & { readonly isTTY?: boolean } = process.stderr) {}

  /** A line that stays. */
  line(text: string): void {
    this.write(`${this.clock()} ${text}`);
  }

  /** How far a suite is. */
  at(suite: string, done: number, total: number, news: string): void {
    const text = `${this.clock()} ${suite} ${done}/${total}  ${news}`;
    if (this.out.isTTY === true) {
      this.out.write(`${CLEAR_LINE}${text}`);
      this.pending = true;
      return;
    }
    const now = performance.now();
    if (now - this.last < QUIET_MS && done !== total) return;
    this.last = now;
    this.write(text);
  }

  private write(text: string): void {
    this.out.write(`${this.pending ? CLEAR_LINE : ""}${text}\n`);
    this.pending = false;
  }

  private clock(): string {
    const seconds = Math.floor((performance.now() - this.started) / 1000);
    return `[${String(Math.floor(seconds / 60)).padStart(2)}:${String(seconds % 60).padStart(2, "0")}]`;
  }
}
