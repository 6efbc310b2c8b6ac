/**
 * Waiting for work that others wait for, too: it goes on when one of them gives up.
 */
import { blazarError } from "../../contracts/errors.ts";

/** Settles as `work` does, or rejects with Cancelled as soon as `signal` aborts. */
export function abortable<T>(
  operation: string,
  work: Promise<T>,
  signal: AbortSignal | undefined,
): Promise<T> {
  if (signal === undefined) return work;
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(blazarError("Cancelled", operation, "it was called off"));
    signal.addEventListener("abort", onAbort, { once: true });
    if (signal.aborted) onAbort();
    work.then(resolve, reject).finally(() => signal.removeEventListener("abort", onAbort));
  });
}
