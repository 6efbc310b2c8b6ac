/**
 * The log of a run that was not asked to be verbose: errors only, as lines for a person, at the end of the run.
 *
 * A service's log is JSON for machines; whoever types `blazar run` wants a sentence, once. At the end, because only
 * then is it known which of them the run's own failure says anyway. Holds a bounded number of lines.
 */
import { reasonOf } from "../contracts/errors.ts";
import type { LogFields, Logger } from "../contracts/logger.ts";

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

  /** What there is to tell beside `failure`, which is told by itself; of its twin, only the guest's last words are. */
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
