/**
 * The system calls of a file server: those of native/sys/files/served.c and its like, of the event loop, and of PID 1
 * (native/supervisor.c), which starts the server anew. Seen with strace(1).
 */
import { type AllowedCalls, ANY_PROGRAM, allowlist, oneOf, together } from "../../contracts/allowed-calls.ts";
import type { SeccompProfile } from "../../contracts/seccomp.ts";

const PR_SET_PDEATHSIG = 1;

const FILE_SERVER: AllowedCalls = {
  names: [
    ...["mkdirat", "mknodat", "symlinkat", "linkat", "unlinkat", "renameat2", "renameat", "rename"],
    ...["chmod", "fchmod", "fchmodat", "fchown", "fchownat", "utimensat", "umask", "truncate", "ftruncate"],
    ...["getxattr", "listxattr", "setxattr", "removexattr", "fgetxattr", "fsetxattr", "getdents64"],
    ...[
      "pwritev2",
      "preadv2",
      "copy_file_range",
      "fallocate",
      "fsync",
      "fdatasync",
      "sync_file_range",
      "flock",
    ],
    ...["listen", "accept", "accept4", "recvmsg", "sendmsg", "recvfrom", "sendto", "shutdown"],
    ...["getsockname", "getsockopt", "setsockopt", "setsid", "sync", "prlimit64"],
    // a process of its own for whoever waits for a lock
    ...["fork", "vfork", "clone", "kill", "wait4"],
  ],
  when: { prctl: oneOf(0, [PR_SET_PDEATHSIG]) },
};

export const FILE_SERVER_CALLS: SeccompProfile = allowlist(together(ANY_PROGRAM, FILE_SERVER));
