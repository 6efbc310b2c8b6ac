/**
 * The system calls that QEMU makes here: seen with strace(1) in boots, clones, forks, hot plug, migration to a file, KVM and
 * the end of a VM, and read in QEMU's sources where they depend on the host.
 *
 * A list holds from before execve(2) on. What only a start needs, such as execve(2) itself, QEMU's own filter takes away. There
 * is no call on it that makes a socket, connects one, makes a process, or changes a file's name, owner or mode.
 */
import {
  type AllowedCalls,
  ANY_PROGRAM,
  allowlist,
  bits,
  oneOf,
  together,
} from "../../contracts/allowed-calls.ts";
import type { SeccompCompiler, SeccompProfile } from "../../contracts/seccomp.ts";

/** Whose calls: a VM's under one of the accelerators, or those of an original, which makes copies of itself (native/fork). */
export type Caller = "kvm" | "tcg" | "original";

const CLONE_THREAD = 0x1_0000;
/** linux/prctl.h: name of a thread, slack of its timers, machine checks, filters, names of memory. */
const PRCTL = {
  NAME: 15,
  SECCOMP: [21, 22],
  TIMERSLACK: 29,
  MCE_KILL: 33,
  NO_NEW_PRIVS: 38,
  VMA: 0x5356_4d41,
};
/** asm-generic/ioctls.h, linux/fs.h: sizes of what is open. */
const SIZES = [0x5401, 0x541b, 0x5421, 0x1260, 0x1268, 0x127b, 0x1278, 0x127a, 0x8008_1270, 0x8008_1272];
/** linux/fs.h: giving space back. */
const DISCARDS = [0x1277, 0x127c, 0x127f];
/** linux/if_tun.h, as keeper/processes/system-calls.ts has them. */
const TAPS = [0xcf, 0xd2, 0xd3, 0xd4, 0xd7, 0xd8, 0xdc, 0xde, 0xd0];
/** asm-generic/ioctl.h: the bits of type and number. */
const TYPE = 0xff00;
const TYPE_AND_NUMBER = 0xffff;

const VMM: AllowedCalls = {
  names: [
    ...[
      "preadv2",
      "pwritev2",
      "ftruncate",
      "fallocate",
      "fsync",
      "fdatasync",
      "sync_file_range",
      "copy_file_range",
    ],
    ...["fadvise64", "getdents64", "fchdir", "memfd_create", "msync", "membarrier", "epoll_pwait2"],
    // on what it was given; it listens anew on the sockets that listen already
    ...["listen", "accept", "accept4", "recvmsg", "sendmsg", "recvfrom", "sendto", "shutdown"],
    ...["getsockname", "getpeername", "getsockopt", "setsockopt"],
    // its own filter
    "seccomp",
    "get_mempolicy",
  ],
  when: {
    clone: [bits(0, CLONE_THREAD, CLONE_THREAD)],
    prctl: oneOf(0, Object.values(PRCTL).flat()),
    ioctl: [
      ...oneOf(1, [...SIZES, ...DISCARDS]),
      ...TAPS.map((number) => bits(1, TYPE_AND_NUMBER, 0x5400 | number)),
    ],
  },
};

/** linux/kvm.h and linux/vhost.h: all requests of these types. Nothing else that a VMM has open understands them. */
const KVM: AllowedCalls = {
  names: [],
  when: { ioctl: [bits(1, TYPE, 0xae00), bits(1, TYPE, 0xaf00)] },
};

const CAPABILITIES = { BSET_READ: 23, BSET_DROP: 24, PDEATHSIG: 1 };

/** Copies with namespaces, users and descriptors of their own, made before they load the list of a VM. */
const COPIES: AllowedCalls = {
  names: ["clone", "unshare", "setsid", "setgroups", "setresuid", "setresgid", "capset", "socketpair"],
  when: { prctl: oneOf(0, Object.values(CAPABILITIES)) },
};

const CALLS: Readonly<Record<Caller, AllowedCalls>> = {
  tcg: VMM,
  kvm: together(VMM, KVM),
  original: together(VMM, COPIES),
};

export function qemuCalls(caller: Caller): SeccompProfile {
  return allowlist(together(ANY_PROGRAM, CALLS[caller]));
}

/** The filter of each list. Throws DependencyMissing without libseccomp. */
export async function compileFilters(compiler: SeccompCompiler): Promise<{ [Of in Caller]: string }> {
  const compile = async (caller: Caller) => (await compiler.compile(qemuCalls(caller))).program;
  const [kvm, tcg, original] = await Promise.all([compile("kvm"), compile("tcg"), compile("original")]);
  return { kvm, tcg, original };
}
