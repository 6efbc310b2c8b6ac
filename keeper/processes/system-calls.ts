/**
 * The system calls that are forbidden in every jail: a seccomp(2) filter, classic BPF as in linux/filter.h.
 *
 * What a jail's walls are made of is refused with EPERM: mounts, namespaces, other processes, device nodes, modules; and
 * what no process in a jail needs, such as System V IPC, io_uring and all sockets but unix ones. clone3(2) is "not there",
 * because a filter cannot see its flags: C libraries then use clone(2). Of the requests of ioctl(2), those to network devices
 * are refused, and most to taps: a VMM reads and writes its taps and sets their offloads, and changes nothing else of them. A
 * program may forbid itself more.
 *
 * A process gets a second filter if the daemon has a list of what its program calls: {@link allowSystemCalls}. This one does
 * not depend on the daemon, nor on which program it is.
 */
import * as sys from "sys";
import { check } from "../../native/runtime/check.ts";
import { writeAll } from "../../native/runtime/files.ts";

const AUDIT_ARCH_X86_64 = 0xc000_003e;
/** Numbers of the x32 ABI, by which every call has a second name. */
const FIRST_X32 = 0x4000_0000;
const AF_UNIX = 1;
const AF_INET = 2;
const AF_INET6 = 10;
const AF_NETLINK = 16;
/** All CLONE_NEW* but CLONE_NEWTIME, which clone(2) does not have. */
const NEW_NAMESPACES = 0x7e02_0000;

/** Numbers on x86-64. */
const CLONE = 56;
const CLONE3 = 435;
const SOCKET = 41;
const IOCTL = 16;
const MKNODAT = 259;
const FORBIDDEN = {
  ptrace: 101,
  process_vm_readv: 310,
  process_vm_writev: 311,
  kcmp: 312,
  pidfd_getfd: 438,
  mount: 165,
  umount2: 166,
  pivot_root: 155,
  chroot: 161,
  open_tree: 428,
  move_mount: 429,
  fsopen: 430,
  fsconfig: 431,
  fsmount: 432,
  fspick: 433,
  mount_setattr: 442,
  unshare: 272,
  setns: 308,
  sethostname: 170,
  setdomainname: 171,
  mknod: 133,
  name_to_handle_at: 303,
  open_by_handle_at: 304,
  init_module: 175,
  delete_module: 176,
  finit_module: 313,
  kexec_load: 246,
  kexec_file_load: 320,
  reboot: 169,
  swapon: 167,
  swapoff: 168,
  acct: 163,
  syslog: 103,
  quotactl: 179,
  iopl: 172,
  ioperm: 173,
  add_key: 248,
  request_key: 249,
  keyctl: 250,
  bpf: 321,
  perf_event_open: 298,
  userfaultfd: 323,
  fanotify_init: 300,
  io_uring_setup: 425,
  io_uring_enter: 426,
  io_uring_register: 427,
  shmget: 29,
  shmat: 30,
  shmctl: 31,
  semget: 64,
  semop: 65,
  semctl: 66,
  semtimedop: 220,
  msgget: 68,
  msgsnd: 69,
  msgrcv: 70,
  msgctl: 71,
  mq_open: 240,
} as const;

/** Requests to network devices (linux/sockios.h): type and number of each, without size and direction. */
const SOCKET_REQUESTS = { first: 0x8900, last: 0x89ff };
/** Requests to taps (linux/if_tun.h). Another one makes the tap persistent, and so on. */
const TAP_REQUESTS = { first: 0x54c8, last: 0x54ff };
const ALLOWED_TAP_REQUESTS = {
  TUNGETFEATURES: 0x54cf,
  TUNSETOFFLOAD: 0x54d0,
  TUNGETIFF: 0x54d2,
  TUNGETSNDBUF: 0x54d3,
  TUNSETSNDBUF: 0x54d4,
  TUNGETVNETHDRSZ: 0x54d7,
  TUNSETVNETHDRSZ: 0x54d8,
  TUNSETVNETLE: 0x54dc,
  TUNSETVNETBE: 0x54de,
} as const;
const REQUEST = 0xffff;
const TUNSETIFF = 0x54ca;
const SIOCGIFNAME = 0x8910;
const SIOCGIFINDEX = 0x8933;

const LOAD = 0x20; // BPF_LD | BPF_W | BPF_ABS
const IF_EQUAL = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
const IF_AT_LEAST = 0x35; // BPF_JMP | BPF_JGE | BPF_K
const IF_ANY_BIT = 0x45; // BPF_JMP | BPF_JSET | BPF_K
const RETURN = 0x06; // BPF_RET | BPF_K
const AND = 0x54; // BPF_ALU | BPF_AND | BPF_K
const ALLOW = 0x7fff_0000;
const KILL = 0x8000_0000;
const ERRNO = 0x0005_0000;

/** Offsets in struct seccomp_data. */
const NUMBER = 0;
const ARCHITECTURE = 4;
const FIRST_ARGUMENT = 16;
const SECOND_ARGUMENT = 24;
const THIRD_ARGUMENT = 32;

type Instruction = readonly [code: number, ifTrue: number, ifFalse: number, value: number];

const refuse: Instruction = [RETURN, 0, 0, ERRNO | sys.EPERM];
const allow: Instruction = [RETURN, 0, 0, ALLOW];

/** What a process is, for what it may call. */
type Kind = "vmm" | "uplink";

/** A process that serves an uplink jails itself further, and then forbids itself these, too. */
const FOR_A_JAIL_OF_ITS_OWN: ReadonlySet<number> = new Set([
  FORBIDDEN.mount,
  FORBIDDEN.umount2,
  FORBIDDEN.pivot_root,
  FORBIDDEN.unshare,
  FORBIDDEN.setns,
]);

/** Families of sockets. A process that is in the host's network must not reach its unix sockets without a path. */
const FAMILIES: { readonly [Of in Kind]: readonly number[] } = {
  vmm: [AF_UNIX],
  uplink: [AF_INET, AF_INET6, AF_NETLINK],
};

/** Requests of ioctl(2) that are forbidden to others. */
const REQUESTS: { readonly [Of in Kind]: readonly number[] } = {
  vmm: [],
  // to attach itself to its tap, and to find an interface by its name or number
  uplink: [TUNSETIFF, SIOCGIFNAME, SIOCGIFINDEX],
};

/** Forbids them to this process and its children. Needs PR_SET_NO_NEW_PRIVS. On other processors than x86-64: nothing. */
export function forbidSystemCalls(kind: Kind): void {
  if (sys.uname().machine !== "x86_64") return;
  check(sys.seccompFilter(encode(program(kind)), 0), "forbid system calls");
}

/** Allows this process and its children the calls of a filter, and no others. */
export function allowSystemCalls(calls: string): void {
  check(sys.seccompFilter(sys.base64Decode(calls), 0), "allow system calls");
}

/** The filters as files in memory, for a process that loads them in its copies: what is forbidden, and what is allowed. */
export function filterFiles(calls: string | undefined): number[] {
  const filters = [encode(program("vmm")), ...(calls === undefined ? [] : [sys.base64Decode(calls)])];
  return filters.map((filter) => {
    const fd = check(sys.memfdCreate("filter", 0), "make a file in memory");
    writeAll(fd, new Uint8Array(filter));
    return fd;
  });
}

function program(kind: Kind): Instruction[] {
  const requests = requestRules(REQUESTS[kind]);
  const forbidden = Object.values(FORBIDDEN).filter(
    (number) => kind === "vmm" || !FOR_A_JAIL_OF_ITS_OWN.has(number),
  );
  const families = FAMILIES[kind].flatMap((family): Instruction[] => [[IF_EQUAL, 0, 1, family], allow]);
  return [
    [LOAD, 0, 0, ARCHITECTURE],
    [IF_EQUAL, 1, 0, AUDIT_ARCH_X86_64],
    [RETURN, 0, 0, KILL],
    [LOAD, 0, 0, NUMBER],
    [IF_AT_LEAST, 0, 1, FIRST_X32],
    refuse,
    ...forbidden.flatMap((number): Instruction[] => [[IF_EQUAL, 0, 1, number], refuse]),
    [IF_EQUAL, 0, 1, CLONE3],
    [RETURN, 0, 0, ERRNO | sys.ENOSYS],
    [IF_EQUAL, 0, 4, CLONE],
    [LOAD, 0, 0, FIRST_ARGUMENT],
    [IF_ANY_BIT, 0, 1, NEW_NAMESPACES],
    refuse,
    allow,
    [IF_EQUAL, 0, families.length + 2, SOCKET],
    [LOAD, 0, 0, FIRST_ARGUMENT],
    ...families,
    refuse,
    [IF_EQUAL, 0, requests.length, IOCTL],
    ...requests,
    [IF_EQUAL, 0, 5, MKNODAT],
    [LOAD, 0, 0, THIRD_ARGUMENT],
    [AND, 0, 0, sys.S_IFMT],
    [IF_EQUAL, 1, 0, sys.S_IFCHR],
    [IF_EQUAL, 0, 1, sys.S_IFBLK],
    refuse,
    allow,
  ];
}

/** What becomes of an ioctl(2). */
function requestRules(more: readonly number[]): Instruction[] {
  const { first, last } = TAP_REQUESTS;
  return [
    [LOAD, 0, 0, SECOND_ARGUMENT],
    [AND, 0, 0, REQUEST],
    ...[...Object.values(ALLOWED_TAP_REQUESTS), ...more].flatMap((number): Instruction[] => [
      [IF_EQUAL, 0, 1, number],
      allow,
    ]),
    ...refuseRange(first, last),
    ...refuseRange(SOCKET_REQUESTS.first, SOCKET_REQUESTS.last),
    allow,
  ];
}

function refuseRange(first: number, last: number): Instruction[] {
  return [[IF_AT_LEAST, 0, 2, first], [IF_AT_LEAST, 1, 0, last + 1], refuse];
}

/** struct sock_filter: 16 bits of code, two jumps of 8 bits, 32 bits of value. */
function encode(instructions: readonly Instruction[]): ArrayBuffer {
  const bytes = new DataView(new ArrayBuffer(instructions.length * 8));
  instructions.forEach(([code, ifTrue, ifFalse, value], index) => {
    bytes.setUint16(index * 8, code, true);
    bytes.setUint8(index * 8 + 2, ifTrue);
    bytes.setUint8(index * 8 + 3, ifFalse);
    bytes.setUint32(index * 8 + 4, value >>> 0, true);
  });
  return bytes.buffer;
}
