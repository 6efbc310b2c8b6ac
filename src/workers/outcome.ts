/**
 * How a worker's task ends, as plain data: structured cloning between threads strips an error's class.
 *
 * A task wraps itself in {@link settle}; the pool's owner calls {@link unwrap} and gets the value or the same
 * BlazarError again. The cause stays behind in the worker; its text is in the reason.
 */
import { BlazarError, type ErrorCode, type ErrorDetails } from "../contracts/errors.ts";

export type Outcome<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly code: ErrorCode; readonly details: ErrorDetails };

/** Runs a task; what is not a BlazarError becomes one under `code`. */
export function settle<T>(code: ErrorCode, operation: string, subject: string, task: () => T): Outcome<T> {
  try {
    return { ok: true, value: task() };
  } catch (thrown) {
    const error = BlazarError.wrap(thrown, code, { operation, subject });
    const { cause: _, ...details } = error.details;
    return { ok: false, code: error.code, details };
  }
}

/** Returns the value or throws the task's error. */
export function unwrap<T>(outcome: Outcome<T>): T {
  if (outcome.ok) return outcome.value;
  throw new BlazarError(outcome.code, outcome.details);
}
