/**
 * A promise with the functions that settle it, and small waits on the event loop.
 */
import type { EventLoop } from "./event-loop.ts";

export interface Deferred<T> {
  readonly promise: Promise<T>;
  readonly resolve: (value: T) => void;
  readonly reject: (error: unknown) => void;
}

export function deferred<T>(): Deferred<T> {
  let resolve: (value: T) => void = nothing;
  let reject: (error: unknown) => void = nothing;
  const promise = new Promise<T>((onValue, onError) => {
    resolve = onValue;
    reject = onError;
  });
  return { promise, resolve, reject };
}

/** Resolves in the next pass of the loop, after the handlers of all descriptors that are ready. */
export function nextPass(loop: EventLoop): Promise<void> {
  return new Promise((resolve) => loop.defer(resolve));
}

/** Resolves after `milliseconds`. */
export function delay(loop: EventLoop, milliseconds: number): Promise<void> {
  return new Promise((resolve) => {
    loop.setTimer(milliseconds, resolve);
  });
}

/**
 * Calls `probe` until it returns a value, with growing pauses: for changes that the kernel does not announce. Gives
 * undefined when `milliseconds` have passed.
 */
export async function poll<T>(
  loop: EventLoop,
  milliseconds: number,
  probe: () => T | undefined,
): Promise<T | undefined> {
  const end = loop.now() + milliseconds;
  for (let pause = 1; ; pause = Math.min(pause * 1.5, 25)) {
    const found = probe();
    if (found !== undefined || loop.now() >= end) return found;
    await delay(loop, pause);
  }
}

function nothing(): void {}
