/**
 * What is not there any more need not be undone: a container or process that the guest does not know, or a guest or VMM
 * that has ended.
 */
import { BlazarError } from "../contracts/errors.ts";

const GONE: ReadonlySet<string> = new Set(["GuestLost", "VmmExited"]);

/** For a rejection handler: passes over what says that there is nothing left, throws everything else. */
export function unlessGone(error: unknown): void {
  if (error instanceof BlazarError && (error.kind === "notFound" || GONE.has(error.code))) return;
  throw error;
}
