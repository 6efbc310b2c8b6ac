/**
 * Worker entry: compiles a seccomp profile into a filter, with libseccomp.
 *
 * Follows what runc does with a profile (libcontainer/seccomp), so that a profile means the same under both: unknown system
 * calls are passed over, a rule that repeats the default is none, and a system call that is newer than all of the
 * profile's gets ENOSYS instead of the default error, because libraries then try an older one.
 */
import { fstatSync, readSync } from "node:fs";
import { constants } from "node:os";
import { blazarError } from "../contracts/errors.ts";
import type { SeccompArgument, SeccompFilter, SeccompProfile, SeccompRule } from "../contracts/seccomp.ts";
import { closeMemoryFile, describeErrno, memoryFile } from "./libc/libc.ts";
import { type Context, type Libseccomp, libseccomp } from "./libc/libseccomp.ts";
import { newerCallsStub } from "./newer-calls.ts";
import { type Outcome, settle } from "./outcome.ts";

const OPERATION = "compile the seccomp profile";
const { EPERM, EEXIST, ENOSYS } = constants.errno;

const ERRNO = 0x0005_0000;
const TRACE = 0x7ff0_0000;
/** SCMP_ACT_*, those without a number. */
const ACTIONS: Readonly<Record<string, number>> = {
  SCMP_ACT_KILL: 0,
  SCMP_ACT_KILL_THREAD: 0,
  SCMP_ACT_KILL_PROCESS: 0x8000_0000,
  SCMP_ACT_TRAP: 0x0003_0000,
  SCMP_ACT_LOG: 0x7ffc_0000,
  SCMP_ACT_ALLOW: 0x7fff_0000,
};
/** enum scmp_compare. */
const COMPARISONS = ["NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ"].map((name) => `SCMP_CMP_${name}`);
/** SCMP_FLTATR_CTL_OPTIMIZE, and its value for a binary tree instead of a list. */
const OPTIMIZE = 8;
const BINARY_TREE = 2;
const UNKNOWN_CALL = -1;

export function compileSeccomp(profile: SeccompProfile): Outcome<SeccompFilter> {
  return settle("InvalidSpec", OPERATION, "linux.seccomp", () => {
    const library = libseccomp();
    const defaultAction = actionNumber(profile.defaultAction, profile.defaultErrnoRet);
    const context = library.seccomp_init(defaultAction);
    if (context === null) throw refused("linux.seccomp.defaultAction", "libseccomp does not have it");
    try {
      addArchitectures(library, context, profile);
      for (const [index, rule] of profile.rules.entries())
        addRule(library, context, rule, index, defaultAction);
      // an older libseccomp has no such attribute, and makes the same filter as a list
      library.seccomp_attr_set(context, OPTIMIZE, BINARY_TREE);
      const program = Buffer.concat([stub(library, profile), exported(library, context)]);
      return { program: program.toString("base64"), flags: profile.flags };
    } finally {
      library.seccomp_release(context);
    }
  });
}

function actionNumber(name: string, errnoRet: number | undefined): number {
  if (name === "SCMP_ACT_ERRNO") return ERRNO | (errnoRet ?? EPERM);
  if (name === "SCMP_ACT_TRACE") return TRACE | (errnoRet ?? EPERM);
  return ACTIONS[name] ?? 0;
}

function addArchitectures(library: Libseccomp, context: Context, { architectures }: SeccompProfile): void {
  for (const [index, name] of architectures.entries()) {
    const field = `linux.seccomp.architectures[${index}]`;
    const token = architectureToken(library, name);
    if (token === 0) throw refused(field, `libseccomp does not know ${name}`);
    const result = library.seccomp_arch_add(context, token);
    if (result < 0 && result !== -EEXIST) throw refused(field, `${name}: ${describeErrno(-result)}`);
  }
}

function architectureToken(library: Libseccomp, name: string): number {
  return library.seccomp_arch_resolve_name(name.slice("SCMP_ARCH_".length).toLowerCase());
}

function addRule(
  library: Libseccomp,
  context: Context,
  { names, action, errnoRet, args }: SeccompRule,
  index: number,
  defaultAction: number,
): void {
  const number = actionNumber(action, errnoRet);
  if (number === defaultAction) return;
  for (const name of names) {
    const call = library.seccomp_syscall_resolve_name(name);
    if (call === UNKNOWN_CALL) continue;
    for (const conditions of alternatives(args)) {
      const result = library.seccomp_rule_add_array(context, number, call, conditions.length, conditions);
      if (result < 0) throw refused(`linux.seccomp.syscalls[${index}]`, `${name}: ${describeErrno(-result)}`);
    }
  }
}

/** All conditions of a rule must hold; but where an argument is named twice, one of them is enough, as in runc. */
function alternatives(args: readonly SeccompArgument[]) {
  const conditions = args.map(({ index, op, value, valueTwo }) => ({
    arg: index,
    op: COMPARISONS.indexOf(op) + 1,
    a: value,
    b: valueTwo,
  }));
  const repeats = new Set(args.map(({ index }) => index)).size < args.length;
  return repeats ? conditions.map((condition) => [condition]) : [conditions];
}

function stub(library: Libseccomp, { defaultAction, defaultErrnoRet, rules }: SeccompProfile): Buffer {
  const permissive = defaultAction === "SCMP_ACT_ALLOW" || defaultAction === "SCMP_ACT_LOG";
  if (permissive || defaultErrnoRet === ENOSYS) return Buffer.alloc(0);
  const last = (architecture: string): number => {
    const token = library.seccomp_arch_resolve_name(architecture);
    const numbers = rules.flatMap(({ names }) =>
      names.map((name) => library.seccomp_syscall_resolve_name_arch(token, name)),
    );
    return numbers.reduce((most, each) => Math.max(most, each), UNKNOWN_CALL);
  };
  return newerCallsStub(last("x86_64"), last("x86"), ERRNO | ENOSYS);
}

function exported(library: Libseccomp, context: Context): Buffer {
  const fd = memoryFile("blazar-seccomp");
  if (fd < 0) throw refused("linux.seccomp", `memfd_create: ${describeErrno(-fd)}`);
  try {
    const result = library.seccomp_export_bpf(context, fd);
    if (result < 0) throw refused("linux.seccomp", `cannot export the filter: ${describeErrno(-result)}`);
    const program = Buffer.alloc(fstatSync(fd).size);
    readSync(fd, program, 0, program.length, 0);
    return program;
  } finally {
    closeMemoryFile(fd);
  }
}

function refused(subject: string, reason: string) {
  return blazarError("InvalidSpec", OPERATION, reason, { subject });
}
