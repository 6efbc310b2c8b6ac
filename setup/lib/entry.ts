/**
 * How a set-up command ends: errors that were foreseen print their message only, others their stack.
 *
 * Must be the last thing an entry calls.
 */
import { BlazarError } from "../../src/contracts/errors.ts";
import { StepFailure } from "../steps/steps.ts";

/** Runs a command's body and sets the exit code from what it returns. */
export async function command(body: () => Promise<number>): Promise<void> {
  try {
    process.exitCode = await body();
  } catch (error) {
    const foreseen = error instanceof StepFailure || error instanceof BlazarError;
    const text =
      error instanceof Error ? (foreseen ? error.message : (error.stack ?? error.message)) : String(error);
    process.stderr.write(`${text}\n`);
    process.exitCode = 1;
  }
}
