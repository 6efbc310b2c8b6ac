/**
 * When which process was away, and therefore which errors a call may have had, and how much later it may have ended.
 */
import type { Kill } from "./record.ts";

/**
 * After a process is back, whoever was connected to it may take so long to notice: between two attempts to connect to a plugin
 * containerd waits up to 3 s and a fifth (MaxDelay in cmd/containerd/server/server.go), and answers with the last one's error.
 */
const AFTERMATH_MS = 4_000;

interface Outage {
  readonly kill: Kill;
  /** The pod whose VM it was; undefined: it concerns all. */
  readonly pod: string | undefined;
  readonly from: number;
  to: number;
}

export class Outages {
  private readonly all: Outage[] = [];

  /** Begins an outage; the answer ends it. */
  begin(kill: Kill, pod?: string): () => void {
    const outage: Outage = { kill, pod, from: performance.now(), to: Number.POSITIVE_INFINITY };
    this.all.push(outage);
    return () => {
      outage.to = performance.now();
    };
  }

  /** What was killed while a call went on, or shortly before. @param pod the call is about; undefined: none in particular */
  during(from: number, pod: string | undefined): ReadonlySet<Kill> {
    const now = performance.now();
    const overlapping = this.all.filter(
      (outage) =>
        outage.to + AFTERMATH_MS > from &&
        outage.from < now &&
        (outage.pod === undefined || pod === undefined || outage.pod === pod),
    );
    return new Set(overlapping.map(({ kill }) => kill));
  }

  /** Milliseconds since `from` in which the daemon, the keeper or containerd was away. */
  awayMs(from: number): number {
    const now = performance.now();
    const shared = this.all.filter(({ pod }) => pod === undefined);
    return shared.reduce(
      (sum, outage) =>
        sum + Math.max(0, Math.min(outage.to + AFTERMATH_MS, now) - Math.max(outage.from, from)),
      0,
    );
  }
}
