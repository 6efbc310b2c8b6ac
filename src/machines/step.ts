/**
 * One wait of a chart: an effect, its named deadline, where to go on, and where to go if it fails or is late.
 *
 * A state that waits is written as one call, so that none can be without a deadline. What happens after a failure is the
 * `onFailure` state's business; the failure itself is in the context by then (`failed`, `overdue`).
 */

import type { ErrorCode } from "../contracts/errors.ts";

/** What a wait needs beside its effect. */
export interface StepOptions<Deadline extends string, OnDone> {
  readonly deadline: Deadline;
  /** Where the chart goes on, as xstate takes it for `onDone`. */
  readonly onDone: OnDone;
  /** What was waited for, in the infinitive, for the error of a passed deadline. */
  readonly what: string;
  /** Where a failure leads. */
  readonly onFailure: string;
  /** The error's code if the deadline passes; default DeadlineExceeded. */
  readonly code?: ErrorCode;
  /** What the operator can do if the deadline passes. */
  readonly remedy?: string;
}

type ErrorEvent = { readonly event: { readonly error: unknown } };

/** For a setup with the actions `failed({error})` and `overdue({wait, what, …})`, see failure.ts. */
export function step<Src extends string, Deadline extends string, Input, const OnDone>(
  src: Src,
  input: Input,
  { deadline, onDone, what, onFailure, code, remedy }: StepOptions<Deadline, OnDone>,
) {
  const failed = { type: "failed", params: ({ event }: ErrorEvent) => ({ error: event.error }) } as const;
  const overdue = { type: "overdue", params: { wait: deadline, what, code, remedy } } as const;
  return {
    invoke: { src, input, onDone, onError: { target: onFailure, actions: failed } },
    after: { [deadline]: { target: onFailure, actions: overdue } } as {
      [K in Deadline]: { target: string; actions: typeof overdue };
    },
  };
}
