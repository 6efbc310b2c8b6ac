/** What QEMU, a file server and mkfs.erofs may call, and that nothing else gets through: the compiled filters, run. */
import { beforeAll, describe, expect, it } from "vitest";
import type { SeccompProfile } from "../../../src/contracts/seccomp.ts";
import { FILE_SERVER_CALLS } from "../../../src/host/storage/file-server-calls.ts";
import { MKFS_CALLS } from "../../../src/host/storage/images/mkfs-calls.ts";
import { type Caller, qemuCalls } from "../../../src/vmm/qemu/system-calls.ts";
import { libseccomp } from "../../../src/workers/libc/libseccomp.ts";
import { inlineSeccomp } from "../../support/inline-seccomp.ts";
import { runSeccompFilter } from "../../support/seccomp-filter.ts";

const ALLOW = 0x7fff_0000;
const EPERM = 0x0005_0001;
const ENOSYS = 0x0005_0026;
const X32 = 0x4000_0000;
const I386 = 0x4000_0003;
const INSTRUCTION_BYTES = 8;
/** native/fork/vmm-fork.c */
const MOST_INSTRUCTIONS = 1024;

/** What somebody who has taken a program over would begin with. */
const WEAPONS = [
  ...["open_by_handle_at", "name_to_handle_at", "io_uring_setup", "io_uring_enter", "io_uring_register"],
  ...[
    "bpf",
    "userfaultfd",
    "perf_event_open",
    "ptrace",
    "process_vm_readv",
    "process_vm_writev",
    "pidfd_open",
  ],
  ...["pidfd_getfd", "kcmp", "keyctl", "add_key", "request_key", "init_module", "finit_module", "kexec_load"],
  ...["mount", "umount2", "pivot_root", "chroot", "fsopen", "fsmount", "open_tree", "move_mount", "unshare"],
  ...["setns", "socket", "connect", "bind", "execveat", "personality", "iopl", "ioperm", "modify_ldt"],
  ...["setuid", "setgid", "setreuid", "setfsuid", "capset", "sethostname", "reboot", "swapon", "syslog"],
  ...["fanotify_init", "inotify_init1", "memfd_secret", "landlock_create_ruleset", "move_pages", "mbind"],
  ...["shmget", "semget", "msgget", "mq_open", "timer_create", "io_setup", "splice", "vmsplice", "tee"],
  ...["sched_setscheduler", "sched_setattr", "setpriority", "quotactl", "acct", "remap_file_pages"],
];
/** What a VMM in an empty root has no use for either. */
const FILE_CHANGES = [
  "unlink",
  "unlinkat",
  "rename",
  "mkdir",
  "mknod",
  "chmod",
  "fchmod",
  "fchownat",
  "symlink",
];
const PROCESSES = ["fork", "vfork", "kill", "wait4"];

const number = (name: string): number => libseccomp().seccomp_syscall_resolve_name(name);

async function filter(profile: SeccompProfile) {
  const program = Buffer.from((await inlineSeccomp.compile(profile)).program, "base64");
  const answer = (name: string, ...args: bigint[]): number =>
    runSeccompFilter(program, { number: number(name), arguments: args });
  return { program, answer };
}
type Filter = Awaited<ReturnType<typeof filter>>;

describe.each<Caller>(["kvm", "tcg", "original"])("what QEMU may call (%s)", (caller) => {
  let qemu: Filter;
  beforeAll(async () => {
    qemu = await filter(qemuCalls(caller));
  });

  it("has nothing in it by which one leaves a jail", () => {
    const own = caller === "original" ? new Set(["unshare", "capset"]) : new Set<string>();
    const answers = [...WEAPONS, ...FILE_CHANGES, ...PROCESSES].map((name) => [name, qemu.answer(name)]);
    expect(answers.filter(([name, answer]) => answer === ALLOW && !own.has(String(name)))).toEqual([]);
  });

  it("is a list: without arguments, of all numbers only those that it names get through", () => {
    const named = new Set(
      qemuCalls(caller)
        .rules.filter(({ action, args }) => action === "SCMP_ACT_ALLOW" && args.length === 0)
        .flatMap(({ names }) => names.map(number)),
    );
    // with a null pointer it only looks
    named.add(number("prlimit64"));
    const allowed = Array.from({ length: 700 }, (_, each) => each).filter(
      (each) => runSeccompFilter(qemu.program, { number: each }) === ALLOW,
    );
    expect(allowed.filter((each) => !named.has(each))).toEqual([]);
    expect(qemu.program.length / INSTRUCTION_BYTES).toBeLessThan(MOST_INSTRUCTIONS);
  });

  it("has C libraries use older calls where it cannot see the flags, or does not know the call", () => {
    for (const name of ["clone3", "openat2", "faccessat2"]) expect(qemu.answer(name)).toBe(ENOSYS);
    expect(runSeccompFilter(qemu.program, { number: 690 })).toBe(ENOSYS);
  });

  it("lets no other numbering of calls through", () => {
    const read = number("read");
    expect(runSeccompFilter(qemu.program, { number: X32 | read })).not.toBe(ALLOW);
    expect(runSeccompFilter(qemu.program, { number: 3, architecture: I386 })).not.toBe(ALLOW);
  });

  it("makes threads, and processes only where copies are made", () => {
    const [thread, process, namespace] = [0x3d_0f00n, 0x11n, 0x2000_8011n];
    expect(qemu.answer("clone", thread)).toBe(ALLOW);
    for (const flags of [process, namespace])
      expect(qemu.answer("clone", flags)).toBe(caller === "original" ? ALLOW : EPERM);
  });

  it("asks devices for what a VMM asks them, and /dev/kvm only where there is one", () => {
    const request = (value: bigint): number => qemu.answer("ioctl", 20n, value);
    const [run, backend, ring] = [0xae80n, 0x4008_af30n, 0xaf01n];
    for (const each of [run, ring, backend]) expect(request(each)).toBe(caller === "kvm" ? ALLOW : EPERM);
    const [offloads, size, signExtended] = [0x4004_54d0n, 0x8008_1272n, 0xffff_ffff_8008_1272n];
    for (const each of [offloads, size, signExtended]) expect(request(each)).toBe(ALLOW);
    const [attach, persist, pushBack, namespace, flags, scsi] = [
      0x4004_54can,
      0x4004_54cbn,
      0x5412n,
      0xb701n,
      0x4008_6602n,
      0x2285n,
    ];
    for (const each of [attach, persist, pushBack, namespace, flags, scsi]) expect(request(each)).toBe(EPERM);
  });

  it("changes none of its limits, and of itself no more than names and filters", () => {
    const [setting, looking] = [0x7ffe_0000_1000n, 0n];
    expect(qemu.answer("prlimit64", 0n, 7n, looking)).toBe(ALLOW);
    expect(qemu.answer("prlimit64", 0n, 7n, setting)).toBe(EPERM);
    expect(qemu.answer("prctl", 15n)).toBe(ALLOW);
    const [dumpable, memoryMap, ptracer, keepCapabilities] = [4n, 35n, 0x5961_6d61n, 8n];
    for (const option of [dumpable, memoryMap, ptracer, keepCapabilities])
      expect(qemu.answer("prctl", option)).toBe(EPERM);
  });
});

describe.each([
  ["a file server", FILE_SERVER_CALLS],
  ["mkfs.erofs", MKFS_CALLS],
])("what %s may call", (_, profile) => {
  it("has nothing in it by which one leaves a jail", async () => {
    const { answer } = await filter(profile);
    const through = WEAPONS.filter((name) => answer(name) === ALLOW);
    expect(through).toEqual([]);
    expect(answer("read")).toBe(ALLOW);
    expect(answer("clone3")).toBe(ENOSYS);
  });
});
