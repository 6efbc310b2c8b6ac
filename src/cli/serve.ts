/**
 * `blazar serve` as a program of its own: what a daemon needs and nothing else.
 *
 * Bundled apart (setup/lib/dist.ts), because V8 keeps the text of all that it loads for as long as the process lives.
 */
import { serve } from "../daemon/serve.ts";
import { wireDaemon } from "../daemon/wiring.ts";

/** Runs a daemon until a signal ends it; the returned number is the exit code. */
export function runDaemon(options: { readonly config?: string | undefined }): Promise<number> {
  return serve(options, wireDaemon);
}
