/**
 * A command line that the parser lets pass and a command refuses: a word that is no number, two options that exclude each other.
 *
 * The entry (src/main.ts) ends with a code of its own for it. Each command is a bundle of its own, so such an error is told by
 * what it says and not by its class.
 */
import { type BlazarError, blazarError, type ErrorDetails } from "./errors.ts";

const READ_THE_COMMAND_LINE = "read the command line";

/** @param subject the option or the word, as it was given */
export function misuse(reason: string, about: Pick<ErrorDetails, "subject" | "remedy">): BlazarError {
  return blazarError("InvalidArgument", READ_THE_COMMAND_LINE, reason, about);
}

export function isMisuse(error: unknown): boolean {
  const { code, details } = (error ?? {}) as Partial<Pick<BlazarError, "code" | "details">>;
  return code === "InvalidArgument" && details?.operation === READ_THE_COMMAND_LINE;
}
