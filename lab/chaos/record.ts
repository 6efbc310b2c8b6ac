/**
 * What a run of chaos has seen: counts, what was wrong, and the last events, each with its time since the start.
 */
import type { StreamCheck } from "./streams.ts";

/** What may be killed; `term` is the daemon's end by SIGTERM, `spare` a VM that is no pod's. */
export const KILLS = ["daemon", "term", "containerd", "vmm", "hang", "keeper", "spare"] as const;
export type Kill = (typeof KILLS)[number];

/** A kind of what must never be. `wrong` is an outcome that is none of those expected. */
export type FindingKind = "lost" | "doubled" | "leaked" | "stuck" | "wrong";

export interface Finding {
  readonly kind: FindingKind;
  readonly atMs: number;
  readonly text: string;
}

const MOST_EVENTS = 2_000;

export class ChaosRecord {
  readonly kills: Record<Kill, number> = {
    ...{ daemon: 0, term: 0, containerd: 0, vmm: 0, hang: 0, keeper: 0, spare: 0 },
  };
  readonly findings: Finding[] = [];
  pods = 0;
  containers = 0;
  execs = 0;
  bytes = 0;
  lines = 0;
  /** Calls that were made, and those that have failed as they may. */
  calls = 0;
  refused = 0;
  private lost = 0;
  private doubled = 0;
  private readonly began = performance.now();
  private readonly events: string[] = [];

  constructor(private readonly onEvent: (line: string) => void = () => undefined) {}

  get atMs(): number {
    return Math.round(performance.now() - this.began);
  }

  event(text: string): void {
    const line = `${(this.atMs / 1000).toFixed(3).padStart(8)} ${text}`;
    this.events.push(line);
    if (this.events.length > MOST_EVENTS) this.events.shift();
    this.onEvent(line);
  }

  found(kind: FindingKind, text: string): void {
    this.findings.push({ kind, atMs: this.atMs, text });
    this.event(`!! ${kind}: ${text}`);
  }

  /** Counts what became of a stream. @param what for the finding */
  checked(what: string, check: StreamCheck): void {
    this.bytes += check.bytes;
    this.lines += check.lines;
    this.lost += check.lost;
    this.doubled += check.doubled;
    const why = check.wrong.join("; ");
    if (check.lost > 0) this.found("lost", `${check.lost} lines of ${what}: ${why}`);
    if (check.doubled > 0) this.found("doubled", `${check.doubled} lines of ${what}: ${why}`);
  }

  count(kind: FindingKind): number {
    if (kind === "lost") return this.lost;
    if (kind === "doubled") return this.doubled;
    return this.findings.filter((finding) => finding.kind === kind).length;
  }

  get lastEvents(): readonly string[] {
    return this.events;
  }
}
