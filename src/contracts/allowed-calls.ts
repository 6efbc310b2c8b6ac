/**
 * Lists of the system calls that a program of the host may make, as profiles for {@link SeccompCompiler}.
 *
 * What is not on a list is refused with EPERM. A call that is newer than all that is on it is "not there" (ENOSYS), and so are
 * those of {@link TRIED_FIRST}: C libraries then use an older call. Nobody is killed for a call: with another C library a
 * program may try one that nobody has seen yet, and does without it.
 */
import type { SeccompArgument, SeccompProfile, SeccompRule } from "./seccomp.ts";

/** What a program may call. */
export interface AllowedCalls {
  readonly names: readonly string[];
  /** Those that it may make with certain arguments only: one of the conditions must hold. */
  readonly when?: Readonly<Record<string, readonly SeccompArgument[]>>;
}

/** Of clone3(2) and openat2(2) a filter cannot see the flags. */
const TRIED_FIRST = ["clone3", "openat2", "faccessat2", "fchmodat2", "close_range"];
const ENOSYS = 38;
/** The kernel takes a request or an option as 32 bits; C libraries may extend its sign. */
const WORD = 0xffff_ffff;

/** That these bits of an argument have this value. */
export function bits(index: number, mask: number, value: number): SeccompArgument {
  return { index, op: "SCMP_CMP_MASKED_EQ", value: BigInt(mask), valueTwo: BigInt(value) };
}

/** That an argument of 32 bits is one of these. */
export function oneOf(index: number, values: readonly number[]): SeccompArgument[] {
  return values.map((value) => bits(index, WORD, value));
}

/** The profile of a list. A call of `names` is allowed whatever `when` says of it. */
export function allowlist({ names, when = {} }: AllowedCalls): SeccompProfile {
  const allow = { action: "SCMP_ACT_ALLOW", errnoRet: undefined };
  const allowed = new Set(names);
  const conditional = Object.entries(when).filter(([name]) => !allowed.has(name));
  const missing = TRIED_FIRST.filter((name) => !allowed.has(name));
  const rules: SeccompRule[] = [
    { ...allow, names: [...allowed], args: [] },
    ...conditional.flatMap(([name, conditions]) =>
      conditions.map((condition) => ({ ...allow, names: [name], args: [condition] })),
    ),
    { names: missing, action: "SCMP_ACT_ERRNO", errnoRet: ENOSYS, args: [] },
  ];
  return {
    defaultAction: "SCMP_ACT_ERRNO",
    defaultErrnoRet: undefined,
    architectures: [],
    flags: 0,
    rules,
  };
}

/** Both lists. */
export function together(one: AllowedCalls, other: AllowedCalls): AllowedCalls {
  const when: Record<string, readonly SeccompArgument[]> = { ...one.when };
  for (const [name, conditions] of Object.entries(other.when ?? {}))
    when[name] = [...(when[name] ?? []), ...conditions];
  return { names: [...one.names, ...other.names], when };
}

/** What a C program needs to start, and to end: memory, its own files, time, signals to itself. */
export const ANY_PROGRAM: AllowedCalls = {
  names: [
    ...["execve", "arch_prctl", "set_tid_address", "set_robust_list", "rseq", "exit", "exit_group"],
    ...["brk", "mmap", "mprotect", "munmap", "mremap", "madvise"],
    ...["read", "write", "readv", "writev", "pread64", "pwrite64", "preadv", "pwritev", "lseek", "close"],
    ...["open", "openat", "access", "faccessat", "readlink", "readlinkat", "fcntl", "dup", "dup2", "dup3"],
    ...["fstat", "stat", "lstat", "newfstatat", "statx", "fstatfs", "statfs", "getcwd"],
    ...["poll", "ppoll", "select", "pselect6", "epoll_create1", "epoll_ctl", "epoll_wait", "epoll_pwait"],
    ...["eventfd2", "signalfd4", "pipe2", "futex", "sched_yield", "sched_getaffinity", "getcpu"],
    ...["rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "rt_sigtimedwait", "rt_sigpending", "sigaltstack"],
    ...[
      "tgkill",
      "pause",
      "nanosleep",
      "clock_nanosleep",
      "clock_gettime",
      "clock_getres",
      "restart_syscall",
    ],
    ...["gettimeofday", "time", "getpid", "gettid", "getppid", "uname", "sysinfo", "getrandom", "getrusage"],
    ...["getuid", "geteuid", "getgid", "getegid", "getresuid", "getresgid"],
  ],
  // to look at its own limits
  when: { prlimit64: [{ index: 2, op: "SCMP_CMP_EQ", value: 0n, valueTwo: 0n }] },
};
