/**
 * How a worker's task ends, as plain data.
 *
 * A message between threads is cloned, and a cloned error loses its class. So a task returns the outcome that
 * {@link settle} makes, and the pool's {@link unwrap} returns the value or throws the same BlazarError. The error's cause
 * stays in the worker; the reason has its text.
 */
import { BlazarError, type ErrorCode, type ErrorDetails } from "../contracts/errors.ts";

export type Outcome<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly code: ErrorCode; readonly details: ErrorDetails };

/** Runs a task. An error that is no BlazarError becomes one with this code. */
export function settle<T>(code: ErrorCode, operation: string, subject: string, task: () => T): Outcome<T> {
  try {
    return { ok: true, value: task() };
  } catch (thrown) {
    return failed(thrown, code, operation, subject);
  }
}

/** As {@link settle}, for a task that leaves its thread to others while the kernel works. */
export async function settleLater<T>(
  code: ErrorCode,
  operation: string,
  subject: string,
  task: () => Promise<T>,
): Promise<Outcome<T>> {
  try {
    return { ok: true, value: await task() };
  } catch (thrown) {
    return failed(thrown, code, operation, subject);
  }
}

function failed(thrown: unknown, code: ErrorCode, operation: string, subject: string): Outcome<never> {
  const error = BlazarError.wrap(thrown, code, { operation, subject });
  const { cause: _, ...details } = error.details;
  return { ok: false, code: error.code, details };
}

/** Returns the value or throws the task's error. */
export function unwrap<T>(outcome: Outcome<T>): T {
  if (outcome.ok) return outcome.value;
  throw new BlazarError(outcome.code, outcome.details);
}
