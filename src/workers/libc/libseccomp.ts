/**
 * libseccomp by koffi: seccomp_init(3), seccomp_rule_add(3), seccomp_export_bpf(3).
 *
 * For workers only. Every Debian has libseccomp.so.2. A call returns 0 or more, or a negative errno.
 */
import koffi from "koffi";
import { blazarError, reasonOf } from "../../contracts/errors.ts";

const LIBRARY = "libseccomp.so.2";

/** A condition, as struct scmp_arg_cmp. */
export interface Comparison {
  readonly arg: number;
  readonly op: number;
  readonly a: number;
  readonly b: number;
}

/** A filter under construction; null where there is none. */
export type Context = unknown;

/** The functions that are used, under their own names. */
export interface Libseccomp {
  seccomp_init(action: number): Context;
  seccomp_release(context: Context): void;
  seccomp_attr_set(context: Context, attribute: number, value: number): number;
  seccomp_arch_add(context: Context, token: number): number;
  seccomp_arch_native(): number;
  /** 0 for a name that libseccomp does not know. */
  seccomp_arch_resolve_name(name: string): number;
  seccomp_syscall_resolve_name(name: string): number;
  seccomp_syscall_resolve_name_arch(token: number, name: string): number;
  seccomp_rule_add_array(
    context: Context,
    action: number,
    call: number,
    count: number,
    comparisons: readonly Comparison[],
  ): number;
  seccomp_export_bpf(context: Context, fd: number): number;
}

let loaded: Libseccomp | undefined;

/** Loads the library, once. Throws DependencyMissing. */
export function libseccomp(): Libseccomp {
  loaded ??= load();
  return loaded;
}

function load(): Libseccomp {
  let library: ReturnType<typeof koffi.load>;
  try {
    library = koffi.load(LIBRARY);
  } catch (cause) {
    const about = { subject: LIBRARY, remedy: "install the package libseccomp2", cause };
    throw blazarError("DependencyMissing", "compile a seccomp profile", reasonOf(cause), about);
  }
  koffi.struct("scmp_arg_cmp", { arg: "uint32_t", op: "int32_t", a: "uint64_t", b: "uint64_t" });
  const declared = (prototype: string) => library.func(prototype);
  return {
    seccomp_init: declared("void *seccomp_init(uint32_t action)"),
    seccomp_release: declared("void seccomp_release(void *context)"),
    seccomp_attr_set: declared("int seccomp_attr_set(void *context, int attribute, uint32_t value)"),
    seccomp_arch_add: declared("int seccomp_arch_add(void *context, uint32_t token)"),
    seccomp_arch_native: declared("uint32_t seccomp_arch_native()"),
    seccomp_arch_resolve_name: declared("uint32_t seccomp_arch_resolve_name(str name)"),
    seccomp_syscall_resolve_name: declared("int seccomp_syscall_resolve_name(str name)"),
    seccomp_syscall_resolve_name_arch: declared(
      "int seccomp_syscall_resolve_name_arch(uint32_t token, str name)",
    ),
    seccomp_rule_add_array: declared(
      "int seccomp_rule_add_array(void *context, uint32_t action, int call, uint32_t count, scmp_arg_cmp *comparisons)",
    ),
    seccomp_export_bpf: declared("int seccomp_export_bpf(void *context, int fd)"),
  };
}
