/** The system calls of mkfs.erofs, and of a shell script around it. Seen with strace(1). */
import { type AllowedCalls, ANY_PROGRAM, allowlist, together } from "../../../contracts/allowed-calls.ts";
import type { SeccompProfile } from "../../../contracts/seccomp.ts";

const MKFS: AllowedCalls = {
  names: [
    ...["getxattr", "lgetxattr", "fgetxattr", "listxattr", "llistxattr", "flistxattr", "getdents64"],
    ...["ftruncate", "fallocate", "copy_file_range", "sendfile", "fsync", "fdatasync", "pwritev2", "preadv2"],
    ...["umask", "chdir", "fchdir", "fadvise64", "readahead", "membarrier"],
    ...["clone", "fork", "vfork", "wait4", "pipe", "getpgrp", "sched_setaffinity"],
  ],
  // isatty(3)
  when: { ioctl: [{ index: 1, op: "SCMP_CMP_EQ", value: 0x5401n, valueTwo: 0n }] },
};

export const MKFS_CALLS: SeccompProfile = allowlist(together(ANY_PROGRAM, MKFS));
