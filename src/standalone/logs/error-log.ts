/**
 * The log of a run that is not verbose: errors only, as lines for a person, at the end of the run.
 *
 * Only at the end is it known which of them the run's own failure repeats; those are left out. The number of errors
 * that are kept is bounded.
 */
import { reasonOf } from "../../contracts/errors.ts";
import type { LogFields, Logger } from "../../contracts/logger.ts";

const MOST_ERRORS = 20;

export class ErrorLog implements Logger {
  private readonly errors: { readonly text: string; readonly diagnostics: string }[] = [];

  debug(): void {
    // only errors are kept
  }

  info(): void {
    // only errors are kept
  }

  warn(): void {
    // only errors are kept
  }

  error({ err, diagnostics }: LogFields, message: string): void {
    if (this.errors.length === MOST_ERRORS) return;
    const text = err === undefined ? message : `${message}: ${reasonOf(err)}`;
    this.errors.push({ text, diagnostics: typeof diagnostics === "string" ? diagnostics : "" });
  }

  child(): Logger {
    return this;
  }

  /** The lines to print beside `failure`, which is printed elsewhere. Of the same error, only the guest's diagnostics. */
  report(failure?: unknown): string {
    const known = failure === undefined ? undefined : reasonOf(failure);
    return this.errors
      .flatMap(({ text, diagnostics }) => {
        const line = known !== undefined && text.includes(known) ? "" : `blazar: ${text}`;
        return [line, diagnostics].filter((part) => part !== "");
      })
      .map((part) => `${part}\n`)
      .join("");
  }
}
