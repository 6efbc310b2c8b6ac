/**
 * How a set-up command ends: a foreseen error prints its message only, any other its stack.
 *
 * Must be the last call of an entry.
 */
import { BlazarError } from "../../src/contracts/errors.ts";
import { StepFailure } from "../steps/steps.ts";

/** Runs a command's body; the number that it returns is the exit code. */
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
