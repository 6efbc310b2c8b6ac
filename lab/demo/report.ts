/**
 * What the demo prints: lines for people while it goes on, and the figures for the JSON object at its end.
 *
 * Colours are used only on a terminal and without NO_COLOR. Must not decide what is right; the scenes do.
 */
import type { Writable } from "node:stream";
import type { Leftover } from "../node/leftovers.ts";

/** A timed step. One of level 1 is a part of the step of level 0 before it, measured by the sandboxer itself. */
export interface Step {
  readonly step: string;
  readonly ms: number;
  readonly level: 0 | 1;
}

/** The JSON object; figures that a failed or standalone run does not have are null. */
export interface DemoResult {
  readonly ok: boolean;
  readonly mode: "containerd" | "standalone";
  readonly guestKernel: string | null;
  readonly hostKernel: string | null;
  readonly podStartMs: number | null;
  readonly containerStartMs: number | null;
  readonly execMs: number | null;
  readonly leftovers: number | null;
  readonly steps: readonly Step[];
  readonly error?: string;
}

type Figures = Omit<DemoResult, "ok" | "steps" | "error">;

const WIDTH = 46;
const BAR = 24;

export class Report {
  private readonly out: Writable & { readonly isTTY?: boolean };
  private readonly steps: Step[] = [];
  private readonly started = performance.now();
  private figures: Figures = {
    mode: "containerd",
    guestKernel: null,
    hostKernel: null,
    podStartMs: null,
    containerStartMs: null,
    execMs: null,
    leftovers: null,
  };
  private error: string | undefined;

  constructor(out: Writable & { readonly isTTY?: boolean }) {
    this.out = out;
  }

  get ok(): boolean {
    return this.error === undefined;
  }

  /** Does the work, times it and prints a line. */
  async step<T>(name: string, work: () => Promise<T>): Promise<T> {
    const started = performance.now();
    const result = await work();
    const ms = performance.now() - started;
    this.steps.push({ step: name, ms: round(ms), level: 0 });
    this.line(`${this.paint(32, "✓")} ${name.padEnd(WIDTH)} ${milliseconds(ms)}`);
    return result;
  }

  /** The milliseconds of the latest step. */
  get lastMs(): number {
    return this.steps.findLast(({ level }) => level === 0)?.ms ?? 0;
  }

  /** Parts of the latest step, as measured by whoever did them. */
  parts(parts: readonly { readonly step: string; readonly ms: number }[]): void {
    const longest = Math.max(1, ...parts.map(({ ms }) => ms));
    for (const { step, ms } of parts) {
      this.steps.push({ step, ms: round(ms), level: 1 });
      const bar = "▇".repeat(Math.round((ms / longest) * BAR));
      this.line(`    ${step.padEnd(WIDTH - 2)} ${milliseconds(ms)}  ${this.paint(36, bar)}`);
    }
  }

  heading(text: string): void {
    this.line(`\n${this.paint(1, text)}`);
  }

  /** A fact: a name and what it is; further lines are set below the first. */
  fact(name: string, value: string): void {
    const [first = "", ...rest] = value.split("\n");
    this.line(`    ${this.paint(2, name.padEnd(22))} ${first}`);
    for (const line of rest) this.line(`${" ".repeat(27)}${line}`);
  }

  set(figures: Partial<Figures>): void {
    this.figures = { ...this.figures, ...figures };
  }

  /** Adds what was left behind; anything is a failure. */
  leftovers(found: readonly Leftover[]): void {
    this.set({ leftovers: (this.figures.leftovers ?? 0) + found.length });
    for (const { kind, what } of found) this.line(`    left behind: ${kind} ${what.slice(0, 160)}`);
    if (found.length > 0) this.error ??= `${found.length} things are left on the host`;
  }

  /** The first failure is the one that counts. */
  fail(reason: string): void {
    this.error ??= reason;
    this.line(`${this.paint(31, "✗")} ${reason}`);
  }

  close(): void {
    const took = `${((performance.now() - this.started) / 1000).toFixed(1)} s`;
    this.line(this.ok ? `\n${this.paint(32, "✓ all worked")} (${took})` : `\n✗ not all worked (${took})`);
  }

  result(): DemoResult {
    const base = { ok: this.ok, ...this.figures, steps: this.steps };
    return this.error === undefined ? base : { ...base, error: this.error };
  }

  private line(text: string): void {
    this.out.write(`${text}\n`);
  }

  private paint(code: number, text: string): string {
    const coloured = this.out.isTTY === true && process.env["NO_COLOR"] === undefined;
    return coloured ? `\u001b[${code}m${text}\u001b[0m` : text;
  }
}

function round(ms: number): number {
  return Math.round(ms * 10) / 10;
}

function milliseconds(ms: number): string {
  return `${ms.toFixed(ms < 10 ? 1 : 0).padStart(7)} ms`;
}
