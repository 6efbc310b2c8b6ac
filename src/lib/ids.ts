/**
 * Ids that become names of directories, control groups, VMs and sockets.
 *
 * An id that is a path, an option or too long for a name is refused. Must not know what an id is for.
 */
import { blazarError } from "../contracts/errors.ts";

const SAFE_ID = /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/;
/** An error shows so many characters of a refused id. */
const SHOWN = 200;

/** Throws InvalidArgument if `id` cannot be a name. */
export function checkId(id: string, operation: string): void {
  if (SAFE_ID.test(id)) return;
  const reason = "an id has 1 to 128 letters, digits, dots, dashes or underscores";
  throw blazarError("InvalidArgument", operation, reason, { subject: id.slice(0, SHOWN) });
}
