/**
 * Ctrl-C and SIGTERM as an AbortSignal, so that a command of the lab ends its daemons before it ends itself.
 */
import { cancelled } from "../../src/lib/async.ts";

/** Runs `body`, whose signal is aborted when the process is asked to end. @param operation for the error */
export async function interruptible<T>(
  operation: string,
  body: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const controller = new AbortController();
  const interrupt = (): void => controller.abort(cancelled({ operation }, "a signal has come"));
  process.on("SIGINT", interrupt).on("SIGTERM", interrupt);
  try {
    return await body(controller.signal);
  } finally {
    process.off("SIGINT", interrupt).off("SIGTERM", interrupt);
  }
}
