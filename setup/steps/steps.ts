/**
 * The steps of set-up: each has a name, a reason, a cheap look whether it is done, and the work.
 *
 * The look returns the step's result if nothing needs doing. A failed step ends the set-up with a report: which step,
 * what was tried, what came of it, what to do. A failed optional step only warns of what is now missing. Must not know
 * any step in particular.
 */
import { BlazarError, reasonOf } from "../../src/contracts/errors.ts";
import { CommandOutput } from "../lib/command.ts";
import type { Progress } from "../lib/progress.ts";

/** One thing that has to be there before the product can be built or run. */
export interface Step<T> {
  /** Short and unique: `guest kernel`. */
  readonly name: string;
  /** Why it is needed and what is fetched or built, for the person who waits. */
  readonly why: string;
  /** What the step yields if it is done already, else undefined. Fast: a second set-up is only these. */
  upToDate(): Promise<T | undefined>;
  /** Does the work. */
  run(progress: Progress): Promise<T>;
}

/** A step that did not work, with its report as the message. */
export class StepFailure extends Error {
  override readonly name = "StepFailure";
}

/** Runs a step if it has to be run. @throws StepFailure with the report */
export async function perform<T>(step: Step<T>, progress: Progress): Promise<T> {
  try {
    const done = await step.upToDate();
    if (done !== undefined) return done;
    return await progress.during(step.name, step.why, () => step.run(progress));
  } catch (error) {
    if (error instanceof StepFailure) throw error;
    throw new StepFailure(report(step, error), { cause: error });
  }
}

/** Runs a step whose absence can be lived with: a failure is told, with what will not work, and yields null. */
export async function attempt<T>(step: Step<T>, progress: Progress, without: string): Promise<T | null> {
  try {
    return await perform(step, progress);
  } catch (error) {
    if (!(error instanceof StepFailure)) throw error;
    progress.line(error.message);
    progress.line(`  going on without it: ${without}`);
    return null;
  }
}

/** The report of a failed step. */
function report(step: Pick<Step<unknown>, "name" | "why">, error: unknown): string {
  const lines = [`✗ step "${step.name}" failed (${step.why})`];
  if (!(error instanceof BlazarError)) return [...lines, `  result: ${reasonOf(error)}`].join("\n");
  const { operation, subject, reason, remedy, cause } = error.details;
  lines.push(`  tried: ${operation}${subject === undefined ? "" : ` ${subject}`}`, `  result: ${reason}`);
  if (cause instanceof CommandOutput && cause.message !== "") {
    lines.push("  its last lines:", ...cause.message.split("\n").map((text) => `  | ${text}`));
  }
  lines.push(`  what to do: ${remedy ?? "see the lines above, then run the same command again"}`);
  return lines.join("\n");
}
