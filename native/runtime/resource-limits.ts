/**
 * The names of resource limits and their numbers: getrlimit(2). Pure.
 */
import * as sys from "sys";

/** By their names in the OCI runtime specification. */
export const RESOURCE_LIMITS: Readonly<Record<string, number>> = {
  RLIMIT_CPU: sys.RLIMIT_CPU,
  RLIMIT_FSIZE: sys.RLIMIT_FSIZE,
  RLIMIT_DATA: sys.RLIMIT_DATA,
  RLIMIT_STACK: sys.RLIMIT_STACK,
  RLIMIT_CORE: sys.RLIMIT_CORE,
  RLIMIT_RSS: sys.RLIMIT_RSS,
  RLIMIT_NPROC: sys.RLIMIT_NPROC,
  RLIMIT_NOFILE: sys.RLIMIT_NOFILE,
  RLIMIT_MEMLOCK: sys.RLIMIT_MEMLOCK,
  RLIMIT_AS: sys.RLIMIT_AS,
  RLIMIT_LOCKS: sys.RLIMIT_LOCKS,
  RLIMIT_SIGPENDING: sys.RLIMIT_SIGPENDING,
  RLIMIT_MSGQUEUE: sys.RLIMIT_MSGQUEUE,
  RLIMIT_NICE: sys.RLIMIT_NICE,
  RLIMIT_RTPRIO: sys.RLIMIT_RTPRIO,
  RLIMIT_RTTIME: sys.RLIMIT_RTTIME,
};

/** A limit's value for prlimit(2); a negative number means no limit. */
export function limitValue(value: number): number | bigint {
  return value < 0 ? sys.RLIM_INFINITY : value;
}
