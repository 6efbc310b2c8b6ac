/**
 * How a failure stands in a chart's context: plain data, so that snapshots can be stored and replayed.
 */
import { BlazarError, type ErrorCode, reasonOf } from "../contracts/errors.ts";

export interface Failure {
  readonly code: ErrorCode;
  readonly message: string;
}

/** The failure behind anything thrown by an effect. */
export function failureOf(error: unknown): Failure {
  return { code: error instanceof BlazarError ? error.code : "Internal", message: reasonOf(error) };
}

/** The failure of a wait whose deadline has passed. */
export function overdue(what: string, milliseconds: number): Failure {
  return { code: "DeadlineExceeded", message: `cannot ${what}: not done within ${milliseconds} ms` };
}
