/**
 * Errors as plain records, for links and for the reports of child processes.
 *
 * A record has the error's code, operation, subject, reason and remedy; its cause stays on the side where it happened.
 * The reader trusts nothing: the sender may be a hostile guest or an older release.
 */
import { BlazarError, blazarError, ERROR_KINDS, type ErrorCode } from "../../contracts/errors.ts";
import { cutText } from "../../lib/cut-text.ts";
import { isRecord } from "./json.ts";

/** Longest text of a record, in characters. */
const MAX_TEXT = 4096;

/** What stands for an error that has no code or operation of its own. */
export interface ErrorFallback {
  readonly code: ErrorCode;
  readonly operation: string;
}

/** The record of anything that was thrown; each text is cut to `most` characters. */
export function errorToRecord(
  error: unknown,
  { code, operation }: ErrorFallback,
  most = MAX_TEXT,
): Record<string, string | undefined> {
  const known = BlazarError.wrap(error, code, { operation });
  const { details } = known;
  return {
    code: known.code,
    operation: details.operation.slice(0, most),
    subject: details.subject?.slice(0, most),
    reason: details.reason.slice(0, most),
    remedy: details.remedy?.slice(0, most),
  };
}

/** The error of a record that somebody else has written. */
export function errorFromRecord(value: unknown, fallback: ErrorFallback): BlazarError {
  const fields = isRecord(value) ? value : {};
  const text = (name: string): string | undefined => {
    const field = fields[name];
    return typeof field === "string" ? cutText(field, MAX_TEXT) : undefined;
  };
  const code = text("code") ?? "";
  return blazarError(
    Object.hasOwn(ERROR_KINDS, code) ? (code as ErrorCode) : fallback.code,
    text("operation") ?? fallback.operation,
    text("reason") ?? "no reason was given",
    { subject: text("subject"), remedy: text("remedy") },
  );
}
