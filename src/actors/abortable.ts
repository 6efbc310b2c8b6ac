/**
 * Gives up a wait for what cannot be called off itself.
 */
import { BlazarError } from "../contracts/errors.ts";

/** As `work`, but rejects with Cancelled as soon as `signal` aborts; `work` then goes on without anybody. */
export async function abortable<T>(
  work: Promise<T>,
  signal: AbortSignal,
  what: { readonly operation: string; readonly subject: string },
): Promise<T> {
  const cancelled = () => new BlazarError("Cancelled", { ...what, reason: "the caller has given up" });
  if (signal.aborted) throw cancelled();
  let abort = () => {};
  const aborted = new Promise<never>((_, reject) => {
    abort = () => reject(cancelled());
    signal.addEventListener("abort", abort, { once: true });
  });
  try {
    return await Promise.race([work, aborted]);
  } finally {
    signal.removeEventListener("abort", abort);
  }
}
