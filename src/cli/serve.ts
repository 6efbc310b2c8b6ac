/**
 * `blazar serve`: runs the daemon.
 *
 * It is a bundle of its own (setup/lib/dist.ts) that has only what a daemon needs: V8 keeps the text of everything
 * that it loads for as long as the process lives.
 */
import { serve } from "../daemon/serve.ts";
import { wireDaemon } from "../daemon/wiring.ts";

/** Runs a daemon until a signal ends it. What is still open then is left for the next daemon, so the process is ended. */
export async function runDaemon(options: { readonly config?: string | undefined }): Promise<never> {
  try {
    return process.exit(await serve(options, wireDaemon));
  } catch (error) {
    // after the caller has told the error and set the exit code
    setImmediate(() => process.exit());
    throw error;
  }
}
