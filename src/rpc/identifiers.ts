/**
 * Which ids are let in from the wire.
 *
 * Ids become names of directories, cgroups and sockets, so they follow containerd's own rule for
 * identifiers and nothing else gets past the adapters.
 */
import { blazarError } from "../contracts/errors.ts";

const IDENTIFIER = /^[A-Za-z0-9]+(?:[._-]+[A-Za-z0-9]+)*$/;
const MAX_LENGTH = 128;

/** Returns `id`, or throws `InvalidArgument` if it cannot be one. */
export function checkIdentifier(id: string, what: string, operation: string): string {
  if (id !== "" && id.length <= MAX_LENGTH && IDENTIFIER.test(id)) return id;
  const shown = id.length > MAX_LENGTH ? `${id.slice(0, 32)}… (${id.length} characters)` : JSON.stringify(id);
  throw blazarError("InvalidArgument", operation, `${what} ${shown} is not an identifier`, {
    remedy: `use letters and digits, joined by ".", "_" or "-", up to ${MAX_LENGTH} characters`,
  });
}
