/**
 * Waiting with an abort signal, with a deadline, or for a pause.
 *
 * A signal that is aborted already counts like one that aborts now. Nothing here leaves a timer or a listener behind.
 * Work that is given up goes on by itself; if it fails later, that is no unhandled rejection.
 */
import { type BlazarError, blazarError } from "../contracts/errors.ts";
import { clearDeadline, setDeadline } from "./deadline-timer.ts";

/** What is waited for, in the words of an error. */
export interface Waiting {
  /** In the infinitive: `"start the VMM"`. */
  readonly operation: string;
  readonly subject?: string | undefined;
}

/** The error of a caller that gave up. */
export function cancelled({ operation, subject }: Waiting, reason = "it was called off"): BlazarError {
  return blazarError("Cancelled", operation, reason, { subject });
}

/** Throws Cancelled if the signal has aborted. */
export function throwIfAborted(signal: AbortSignal | undefined, what: Waiting): void {
  if (signal?.aborted === true) throw cancelled(what);
}

/** Calls `listener` once, at the abort, or at once if the signal has aborted. Returns how to take the listener away. */
export function onAbort(signal: AbortSignal | undefined, listener: () => void): () => void {
  if (signal === undefined) return () => undefined;
  if (signal.aborted) {
    listener();
    return () => undefined;
  }
  signal.addEventListener("abort", listener, { once: true });
  return () => signal.removeEventListener("abort", listener);
}

/** Settles as `work` does, or rejects with Cancelled as soon as `signal` aborts. */
export function abortable<T>(work: Promise<T>, signal: AbortSignal | undefined, what: Waiting): Promise<T> {
  if (signal === undefined) return work;
  return new Promise((resolve, reject) => {
    const forget = onAbort(signal, () => reject(cancelled(what)));
    work.then(resolve, reject).finally(forget);
  });
}

/** Settles as `work` does, or rejects with `late()` if that takes longer than `ms` milliseconds. */
export function withDeadline<T>(work: Promise<T>, ms: number, late: () => BlazarError): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setDeadline(() => reject(late()), ms);
    work.then(resolve, reject).finally(() => clearDeadline(timer));
  });
}

/** Settles as `work` does, or resolves to undefined if that takes longer than `ms` milliseconds. */
export function within<T>(work: Promise<T>, ms: number): Promise<T | undefined> {
  return new Promise((resolve, reject) => {
    const timer = setDeadline(() => resolve(undefined), ms);
    work.then(resolve, reject).finally(() => clearDeadline(timer));
  });
}

/** Resolves after `ms` milliseconds, or at the abort. Never rejects. */
export function pause(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      forget();
      resolve();
    };
    const timer = setTimeout(done, ms);
    const forget = onAbort(signal, () => queueMicrotask(done));
  });
}

/** A promise that is settled from outside. */
export interface Deferred<T> {
  readonly promise: Promise<T>;
  resolve(value: T): void;
  reject(error: unknown): void;
}

/** If nobody waits for the promise, its rejection is no unhandled rejection. */
export function deferred<T>(): Deferred<T> {
  let resolve: (value: T) => void = () => undefined;
  let reject: (error: unknown) => void = () => undefined;
  const promise = new Promise<T>((yes, no) => {
    resolve = yes;
    reject = no;
  });
  promise.catch(() => undefined);
  return { promise, resolve, reject };
}
