/**
 * The port to whatever turns a seccomp profile of an OCI spec into a filter that a guest can load.
 *
 * A profile is as in the runtime spec (config-linux.md#seccomp), checked, with the names still in it. A filter is classic
 * BPF for the guest's architecture. The same profile always gives the same filter.
 */

/** A condition on an argument of a system call. */
export interface SeccompArgument {
  readonly index: number;
  /** `SCMP_CMP_…`. */
  readonly op: string;
  /** 64 bits. */
  readonly value: bigint;
  /** The second operand of SCMP_CMP_MASKED_EQ. */
  readonly valueTwo: bigint;
}

/** What happens to these system calls, if all (or with one index twice, any) of the conditions hold. */
export interface SeccompRule {
  readonly names: readonly string[];
  /** `SCMP_ACT_…`. */
  readonly action: string;
  /** errno for SCMP_ACT_ERRNO, message for SCMP_ACT_TRACE; undefined = EPERM. */
  readonly errnoRet: number | undefined;
  readonly args: readonly SeccompArgument[];
}

export interface SeccompProfile {
  readonly defaultAction: string;
  readonly defaultErrnoRet: number | undefined;
  /** `SCMP_ARCH_…`; none = the host's own. */
  readonly architectures: readonly string[];
  /** SECCOMP_FILTER_FLAG_* of seccomp(2), together. */
  readonly flags: number;
  readonly rules: readonly SeccompRule[];
}

/** A filter, as a guest loads it. */
export interface SeccompFilter {
  /** Base64 of an array of struct sock_filter. */
  readonly program: string;
  readonly flags: number;
}

export interface SeccompCompiler {
  /** @throws BlazarError `InvalidSpec` naming what libseccomp refuses, `DependencyMissing` without libseccomp */
  compile(profile: SeccompProfile): Promise<SeccompFilter>;
}
