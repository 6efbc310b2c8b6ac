/**
 * Descriptors of a child on its way to execve(2): numbers above every one that its spec may ask for.
 */
import * as sys from "sys";
import { check } from "../../native/runtime/check.ts";
import { blazarError } from "../../src/contracts/errors.ts";

const EINVAL = 22;
/** Above every descriptor that a spec may ask for. */
const FIRST_PARKED = 256;

/** A duplicate, close-on-exec, that no file of the child's takes the place of. Throws HostResource. */
export function outOfTheWay(fd: number, what: string): number {
  const moved = sys.fcntl(fd, sys.F_DUPFD_CLOEXEC, FIRST_PARKED);
  // fcntl(2): EINVAL says that the number is beyond RLIMIT_NOFILE
  if (moved === -EINVAL)
    throw blazarError("HostResource", "move a descriptor", "too many open files (EMFILE)", {
      subject: what,
      remedy: `raise the keeper's limit of open files: it takes more than ${FIRST_PARKED}`,
    });
  return check(moved, "move a descriptor", what);
}
