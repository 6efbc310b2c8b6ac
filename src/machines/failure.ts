/**
 * How a failure stands in a chart's context: plain data, so that snapshots can be stored and replayed.
 */
import type { Deadlines } from "../contracts/deadlines.ts";
import { BlazarError, type ErrorCode, type ErrorDetails } from "../contracts/errors.ts";

export interface Failure extends Omit<ErrorDetails, "cause"> {
  readonly code: ErrorCode;
}

/** The failure behind anything thrown by an effect. */
export function failureOf(error: unknown): Failure {
  const known = BlazarError.wrap(error, "Internal", { operation: "carry out a step" });
  const { operation, subject, reason, remedy } = known.details;
  return { code: known.code, operation, subject, reason, remedy };
}

/** A wait whose deadline has passed: which one, what was waited for, what the operator can do. */
export interface Overdue {
  readonly wait: keyof Deadlines;
  readonly what: string;
  /** Default: DeadlineExceeded. */
  readonly code?: ErrorCode | undefined;
  readonly remedy?: string | undefined;
}

/** The failure of a wait whose deadline has passed. */
export function overdue(
  { wait, what, code = "DeadlineExceeded", remedy }: Overdue,
  deadlines: Deadlines,
): Failure {
  return { code, operation: what, reason: `not done within ${deadlines[wait]} ms`, remedy };
}

/** The error that a caller gets for a failure; `subject` names its sandbox or container if nothing did yet. */
export function errorOf(failure: Failure, subject: string): BlazarError {
  const { code, ...details } = failure;
  return new BlazarError(code, { ...details, subject: details.subject ?? subject });
}
