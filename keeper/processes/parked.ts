/**
 * Descriptors of a child on its way to execve(2): numbers above every one that its spec may ask for.
 */
import * as sys from "sys";
import { check } from "../../native/runtime/check.ts";

/** Above every descriptor that a spec may ask for. */
const FIRST_PARKED = 256;

/** A duplicate, close-on-exec, that no file of the child's takes the place of. Throws HostResource. */
export function outOfTheWay(fd: number, what: string): number {
  return check(sys.fcntl(fd, sys.F_DUPFD_CLOEXEC, FIRST_PARKED), "move a descriptor", what);
}
