/**
 * The steps in which the other end has answered a request: told with the answer if the request asks for them (`steps: true`).
 *
 * On the wire each is `[name, from, for]`, in milliseconds from the request's arrival. The answering end marks them, the asking
 * end bounds them: a hostile guest can lie about its own times, and about nothing else.
 */

import { cutText } from "../../lib/cut-text.ts";

export interface RequestStep {
  readonly name: string;
  /** Milliseconds after the request has come. */
  readonly fromMs: number;
  readonly ms: number;
}

/** Tells that a step is over; the next one begins. */
export type MarkStep = (name: string) => void;

const MOST_STEPS = 16;
const LONGEST_NAME = 64;
const LONGEST_MS = 3_600_000;

/** For a request that asks for no steps. */
export const unmarked: MarkStep = () => undefined;

/** Marks the steps of one request, by a clock in milliseconds. */
export class StepMarks {
  readonly steps: (readonly [string, number, number])[] = [];
  private readonly begin: number;
  private last: number;

  constructor(private readonly now: () => number) {
    this.begin = now();
    this.last = this.begin;
  }

  readonly mark: MarkStep = (name) => {
    const now = this.now();
    if (this.steps.length < MOST_STEPS)
      this.steps.push([name, rounded(this.last - this.begin), rounded(now - this.last)]);
    this.last = now;
  };
}

/** What another end has told; whatever is no step is left out. */
export function readSteps(told: unknown): RequestStep[] {
  if (!Array.isArray(told)) return [];
  return told.slice(0, MOST_STEPS).flatMap((step: unknown) => {
    if (!Array.isArray(step)) return [];
    const [name, fromMs, ms] = step as unknown[];
    if (typeof name !== "string" || !isTime(fromMs) || !isTime(ms)) return [];
    return [{ name: cutText(name, LONGEST_NAME), fromMs, ms }];
  });
}

function isTime(value: unknown): value is number {
  return typeof value === "number" && value >= 0 && value <= LONGEST_MS;
}

function rounded(ms: number): number {
  return Math.round(ms * 100) / 100;
}
