/**
 * Prints what becomes of each thing that a command works on: a line on standard output, or why not on standard error.
 */
import { reasonOf } from "../contracts/errors.ts";
import type { Done } from "../standalone/by-key.ts";

/** Exit code of a command that could not do all of its work. */
export const FAILED = 1;

/** Returns the exit code. False from `work` means that a signal has called it off. */
export async function printed(word: string, work: (done: Done) => Promise<boolean>): Promise<number> {
  let code = 0;
  const finished = await work((key, error) => {
    if (error === undefined) {
      process.stdout.write(`${key} ${word}\n`);
      return;
    }
    process.stderr.write(`blazar: ${reasonOf(error)}\n`);
    code = FAILED;
  });
  return finished ? code : FAILED;
}
