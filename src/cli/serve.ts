/**
 * `blazar serve`: runs the daemon.
 *
 * It is a bundle of its own (setup/lib/dist.ts) that has only what a daemon needs: V8 keeps the text of everything
 * that it loads for as long as the process lives.
 */
import { serve } from "../daemon/serve.ts";
import { wireDaemon } from "../daemon/wiring.ts";

/** Runs a daemon until a signal ends it; the returned number is the exit code. */
export function runDaemon(options: { readonly config?: string | undefined }): Promise<number> {
  return serve(options, wireDaemon);
}
