/**
 * Which ids the adapters accept from a wire: containerd's own rule for identifiers (its package `identifiers`).
 *
 * Ids become names of directories, control groups and sockets. An id that could be anything else is refused here.
 */
import { blazarError } from "../contracts/errors.ts";

const IDENTIFIER = /^[A-Za-z0-9]+(?:[._-]+[A-Za-z0-9]+)*$/;
const MAX_LENGTH = 128;

/** Returns `id`, or throws `InvalidArgument` if it cannot be one. `what` names it in the error: `"the exec id"`. */
export function checkIdentifier(id: string, what: string, operation: string): string {
  if (id !== "" && id.length <= MAX_LENGTH && IDENTIFIER.test(id)) return id;
  const shown = id.length > MAX_LENGTH ? `${id.slice(0, 32)}… (${id.length} characters)` : JSON.stringify(id);
  const remedy = `use letters and digits, joined by ".", "_" or "-", up to ${MAX_LENGTH} characters`;
  throw blazarError("InvalidArgument", operation, `${what} ${shown} is not an identifier`, { remedy });
}
