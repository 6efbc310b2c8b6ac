/**
 * The `sys` module: Linux system calls for TypeScript on QuickJS, written in C under native/sys/.
 *
 * Convention: a result ≥ 0 is success, a negative one is -errno (see native/runtime/check.ts). A function
 * throws only for an argument of the wrong type or out of range (TypeError, RangeError), never because the
 * kernel refused. Strings must be strings without NUL; integers must be integers; `buffer, offset, length`
 * must lie inside the buffer. Flags are 32 bits and may be written with JavaScript's signed operators
 * (`1 << 31`). Every descriptor made here is close-on-exec, unless said otherwise. Names are the man pages'.
 */

declare module "sys" {
  /** ≥ 0 on success, else -errno. */
  export type Result = number;
  /** A new file descriptor, or -errno. */
  export type Descriptor = number;
  /** -errno: always negative. */
  export type Failure = number;

  // ---------------------------------------------------------------- mounts (native/sys/mount.c)

  /** mount(2). `data` over 4,095 bytes is refused with -E2BIG: the kernel would cut it silently. */
  export function mount(
    source: string | null,
    target: string,
    type: string | null,
    flags: number,
    data?: string | null,
  ): Result;
  /** umount2(2): flags are `MNT_DETACH`, `UMOUNT_NOFOLLOW`, … */
  export function umount2(target: string, flags: number): Result;
  /** pivot_root(2); `pivotRoot(".", ".")` and then `umount2(".", MNT_DETACH)` needs no extra directory. */
  export function pivotRoot(newRoot: string, putOld: string): Result;
  /** chroot(2). */
  export function chroot(path: string): Result;
  /** mount_setattr(2) on `path` below directory `directory` (or `AT_FDCWD`); masks of `MOUNT_ATTR_*`. */
  export function mountSetattr(
    directory: number,
    path: string,
    flags: number,
    set: number,
    clear: number,
    propagation?: number,
  ): Result;
  /** open_tree(2): flags `OPEN_TREE_CLONE | AT_RECURSIVE | AT_EMPTY_PATH`. */
  export function openTree(directory: number, path: string, flags: number): Descriptor;
  /** move_mount(2). */
  export function moveMount(
    fromDirectory: number,
    fromPath: string,
    toDirectory: number,
    toPath: string,
    flags: number,
  ): Result;
  /** finit_module(2) of an open module file, `parameters` as on modprobe's command line. */
  export function finitModule(fd: number, parameters: string, flags: number): Result;

  // ---------------------------------------------------------------- files (native/sys/files.c, content.c, descriptors.c)

  /** open(2); O_CLOEXEC is added unless `flags` holds `O_INHERIT`. */
  export function open(path: string, flags: number, mode?: number): Descriptor;
  /** openat2(2) with `RESOLVE_*`; the way to walk into a tree that a hostile guest or image wrote. */
  export function openat2(
    directory: number,
    path: string,
    flags: number,
    mode: number,
    resolve: number,
  ): Descriptor;
  /** close(2). */
  export function close(fd: number): Result;
  /** close_range(2): `flags` may be `CLOSE_RANGE_CLOEXEC`. */
  export function closeRange(first: number, last: number, flags: number): Result;
  /** read(2) into `buffer[offset, offset + length)`; 0 is the end. EINTR is retried. */
  export function read(fd: number, buffer: ArrayBuffer, offset: number, length: number): Result;
  /** write(2) from `buffer[offset, offset + length)`; may be short. EINTR is retried. */
  export function write(fd: number, buffer: ArrayBuffer, offset: number, length: number): Result;
  /** pread(2). */
  export function pread(
    fd: number,
    buffer: ArrayBuffer,
    offset: number,
    length: number,
    position: number,
  ): Result;
  /** pwrite(2). */
  export function pwrite(
    fd: number,
    buffer: ArrayBuffer,
    offset: number,
    length: number,
    position: number,
  ): Result;
  /** lseek(2): the new position, or -errno. `whence`: 0 set, 1 current, 2 end, 3 data, 4 hole. */
  export function lseek(fd: number, offset: number, whence: number): Result;
  /** The whole file as text (invalid UTF-8 becomes U+FFFD), at most `max` bytes: longer is -EFBIG. Works on /proc. */
  export function readFile(path: string, max: number): string | Failure;
  /** The whole file as bytes, with the same limit. */
  export function readFileBytes(path: string, max: number): ArrayBuffer | Failure;
  /** Opens with `flags` (default O_WRONLY|O_CREAT|O_TRUNC), writes all of `text`, closes. For /proc and cgroups pass O_WRONLY. */
  export function writeFile(path: string, text: string, flags?: number, mode?: number): Result;
  /** mkdir(2). */
  export function mkdir(path: string, mode: number): Result;
  /** rmdir(2). */
  export function rmdir(path: string): Result;
  /** unlink(2). */
  export function unlink(path: string): Result;
  /** symlink(2): `path` will point to `target`. */
  export function symlink(target: string, path: string): Result;
  /** link(2), not following a symlink `existing`. */
  export function link(existing: string, path: string): Result;
  /** rename(2). */
  export function rename(from: string, to: string): Result;
  /** readlink(2). */
  export function readlink(path: string): string | Failure;
  /** mknod(2) with type and permissions in `mode`; the umask applies. */
  export function mknod(path: string, mode: number, major: number, minor: number): Result;
  /** mkfifo(3); the umask applies. */
  export function mkfifo(path: string, mode: number): Result;
  /** chmod(2). */
  export function chmod(path: string, mode: number): Result;
  /** fchmod(2). */
  export function fchmod(fd: number, mode: number): Result;
  /** lchown(2); 0xffffffff leaves an id as it is. */
  export function lchown(path: string, uid: number, gid: number): Result;
  /** fchown(2). */
  export function fchown(fd: number, uid: number, gid: number): Result;
  /** utimensat(2), times in whole or fractional milliseconds since the epoch, symlinks not followed. */
  export function lutimes(path: string, accessMs: number, modifyMs: number): Result;
  /** truncate by descriptor: ftruncate(2). */
  export function ftruncate(fd: number, length: number): Result;
  /** fallocate(2). */
  export function fallocate(fd: number, mode: number, offset: number, length: number): Result;
  /** fsync(2). */
  export function fsync(fd: number): Result;
  /** sync(2). */
  export function sync(): Result;
  /** syncfs(2) of the file system that holds `fd`. */
  export function syncfs(fd: number): Result;
  /** What stat(2) tells. */
  export interface Stat {
    /** Type and permissions. */
    readonly mode: number;
    readonly size: number;
    /** Encoded device number: equal or not, nothing more. */
    readonly dev: number;
    /** 64 bits: overlayfs uses the upper ones. */
    readonly ino: bigint;
    readonly nlink: number;
    readonly uid: number;
    readonly gid: number;
    readonly rdevMajor: number;
    readonly rdevMinor: number;
    /** 512-byte blocks really allocated. */
    readonly blocks: number;
    /** Milliseconds since the epoch. */
    readonly mtimeMs: number;
  }
  /** stat(2). */
  export function stat(path: string): Stat | Failure;
  /** lstat(2). */
  export function lstat(path: string): Stat | Failure;
  /** fstat(2). */
  export function fstat(fd: number): Stat | Failure;
  /** access(2): 0 exists, 1 execute, 2 write, 4 read; by the effective ids. */
  export function access(path: string, mode: number): Result;
  /** The names in a directory, without "." and "..", unsorted. */
  export function readdir(path: string): string[] | Failure;
  /** chdir(2). */
  export function chdir(path: string): Result;
  /** fchdir(2). */
  export function fchdir(fd: number): Result;
  /** getcwd(3). */
  export function getcwd(): string | Failure;
  /** umask(2): the old mask. */
  export function umask(mask: number): number;
  /** lsetxattr(2). */
  export function lsetxattr(path: string, name: string, value: ArrayBuffer, flags: number): Result;
  /** lgetxattr(2). */
  export function lgetxattr(path: string, name: string): ArrayBuffer | Failure;
  /** llistxattr(2): how many bytes the names take, 0 = it has none. */
  export function llistxattr(path: string): Result;
  /** What statfs(2) tells, in blocks of `blockSize` bytes. */
  export interface StatFs {
    /** Magic number: 0xef53 ext4, 0x01021994 tmpfs, 0x01021997 9p, 0x63677270 cgroup2, … */
    readonly type: number;
    readonly blockSize: number;
    readonly blocks: number;
    readonly blocksFree: number;
    readonly blocksAvailable: number;
    readonly files: number;
    readonly filesFree: number;
  }
  /** statfs(2). */
  export function statfs(path: string): StatFs | Failure;
  /** sendfile(2) of up to `length` bytes at the files' own positions: the bytes copied. */
  export function sendfile(outFd: number, inFd: number, length: number): Result;
  /** copy_file_range(2) at the files' own positions: the bytes copied. */
  export function copyFileRange(inFd: number, outFd: number, length: number): Result;
  /** memfd_create(2); flags `MFD_ALLOW_SEALING`. */
  export function memfdCreate(name: string, flags: number): Descriptor;
  /** Turns close-on-exec on or off: fcntl(2) F_SETFD. */
  export function setCloexec(fd: number, on: boolean): Result;
  /** Turns O_NONBLOCK on or off: fcntl(2) F_SETFL. Belongs to the open file, not to the descriptor: shared after dup and fork. */
  export function setNonblock(fd: number, on: boolean): Result;
  /** fcntl(2) of the `F_*` below, which take an integer; others throw. */
  export function fcntl(fd: number, command: number, argument: number): Result;
  /** flock(2): `LOCK_EX | LOCK_NB`, … */
  export function flock(fd: number, operation: number): Result;
  /** dup(2), but close-on-exec. */
  export function dup(fd: number): Descriptor;
  /** dup2(2): `to` is *not* close-on-exec; for a forked child that places its stdio. Equal numbers lose the flag too. */
  export function dup2(from: number, to: number): Descriptor;
  /** dup3(2) with O_CLOEXEC or 0. */
  export function dup3(from: number, to: number, flags: number): Descriptor;
  /** pipe2(2): [read end, write end]. O_CLOEXEC is added unless `flags` holds `O_INHERIT`. */
  export function pipe2(flags: number): [number, number] | Failure;
  /** FIONREAD: bytes waiting in a pipe, FIFO or socket. */
  export function pendingBytes(fd: number): Result;

  // ---------------------------------------------------------------- processes (native/sys/process.c)

  /**
   * clone(2) with fork semantics: 0 in the child, which goes on in JavaScript; the pid in the parent.
   * `flags` may hold `CLONE_NEW*` and `CLONE_PARENT`, nothing else. In the child all signals are at their
   * default and unblocked. `cgroupFd` ≥ 0 starts the child in that cgroup2 directory (CLONE_INTO_CGROUP).
   * Use `forkChild` of native/runtime/child.ts: the child must never return into the loop.
   */
  export function fork(flags: number, cgroupFd?: number): Result;
  /**
   * vfork(2) with the flags and the cgroup of {@link fork}, for a forked child that leaves the rest to one of its own: goes
   * on as that process, a sibling of the caller and in its memory, and returns its pid as the caller's PID namespace counts
   * it. When the new process has been executed or has ended, the caller closes its descriptors and, a moment later, ends
   * with status 0: so the memory is not torn down within the execve.
   */
  export function handOver(flags: number, cgroupFd?: number): Result;
  /** _exit(2). */
  export function _exit(status: number): never;
  /** execve(2) of exactly `path`. Returns only on failure. Descriptors made by `sys` are closed by it. */
  export function execve(path: string, argv: readonly string[], env: readonly string[]): Failure;
  /** waitpid(2): [pid, exit code or -1, signal or 0]; pid 0 if nobody has ended (WNOHANG), negative is -errno. */
  export function waitpid(pid: number, options: number): [pid: number, code: number, signal: number];
  /** kill(2). */
  export function kill(pid: number, signal: number): Result;
  /** pidfd_open(2): readable when the process has ended. */
  export function pidfdOpen(pid: number): Descriptor;
  /** pidfd_send_signal(2). */
  export function pidfdSendSignal(pidfd: number, signal: number): Result;
  /** getpid(2). */
  export function getpid(): number;
  /** getppid(2). */
  export function getppid(): number;
  /** setsid(2). */
  export function setsid(): Result;
  /** setpgid(2). */
  export function setpgid(pid: number, group: number): Result;
  /** getuid(2), geteuid(2), getgid(2), getegid(2). */
  export function getids(): { uid: number; euid: number; gid: number; egid: number };
  /** setuid(2), of the one thread there is. */
  export function setuid(uid: number): Result;
  /** setgid(2). */
  export function setgid(gid: number): Result;
  /** setresuid(2); 0xffffffff leaves an id as it is. */
  export function setresuid(real: number, effective: number, saved: number): Result;
  /** setresgid(2). */
  export function setresgid(real: number, effective: number, saved: number): Result;
  /** setgroups(2); the empty list drops them all. */
  export function setgroups(groups: readonly number[]): Result;
  /** unshare(2). */
  export function unshare(flags: number): Result;
  /** setns(2) with a namespace descriptor (`type` 0 or CLONE_NEW*) or a pidfd (CLONE_NEW* mask). */
  export function setns(fd: number, type: number): Result;
  /** prctl(2), the options that take integers (`PR_SET_NO_NEW_PRIVS`, `PR_SET_PDEATHSIG`, …); others throw. */
  export function prctl(option: number, arg2?: number, arg3?: number, arg4?: number, arg5?: number): Result;
  /** PR_SET_NAME: the name in /proc/PID/comm, cut after 15 bytes. */
  export function setProcessName(name: string): Result;
  /** prlimit(2), setting. Values are bytes, seconds or counts; `RLIM_INFINITY` or any number ≥ 2^63 is no limit. */
  export function prlimit(
    pid: number,
    resource: number,
    soft: number | bigint,
    hard: number | bigint,
  ): Result;
  /** prlimit(2), reading: [soft, hard]. */
  export function getrlimit(pid: number, resource: number): [soft: bigint, hard: bigint] | Failure;
  /** setpriority(2) of a process: nice −20…19. */
  export function setpriority(pid: number, nice: number): Result;
  /** sched_setaffinity(2): the CPUs' numbers, each below 1024. */
  export function setAffinity(pid: number, cpus: readonly number[]): Result;
  /** sethostname(2). */
  export function sethostname(name: string): Result;
  /** setdomainname(2). */
  export function setdomainname(name: string): Result;
  /** reboot(2) after sync(2): `RB_POWER_OFF`, `RB_AUTOBOOT`, `RB_HALT_SYSTEM`. */
  export function reboot(command: number): Result;
  /** uname(2). */
  export function uname(): { release: string; machine: string; nodename: string };

  // ---------------------------------------------------------------- signals (native/sys/signals.c)

  /** Blocks the signals and makes a non-blocking signalfd(2) for them. */
  export function signalfd(signals: readonly number[]): Descriptor;
  /** What a signalfd tells of one signal. */
  export interface SignalInfo {
    readonly signal: number;
    readonly pid: number;
    readonly uid: number;
    readonly code: number;
    readonly status: number;
  }
  /** The next signal of a signalfd; -EAGAIN when there is none. Several SIGCHLD may be merged into one. */
  export function readSignal(fd: number): SignalInfo | Failure;
  /** sigprocmask(2) SIG_BLOCK. */
  export function blockSignals(signals: readonly number[]): Result;
  /** Every signal to its default action and unblocked; `fork` does it in the child by itself. */
  export function resetSignals(): Result;
  /** Ignores a signal (SIG_IGN survives execve; a forked child is reset). The runtime ignores SIGPIPE. */
  export function ignoreSignal(signal: number): Result;

  // ---------------------------------------------------------------- privileges (native/sys/privileges.c)

  /** A set of capabilities, bit n for capability n (linux/capability.h). */
  export type CapabilityMask = number | bigint;
  /** capset(2) for the calling process. */
  export function capset(
    effective: CapabilityMask,
    permitted: CapabilityMask,
    inheritable: CapabilityMask,
  ): Result;
  /** capget(2). */
  export function capget(): { effective: bigint; permitted: bigint; inheritable: bigint } | Failure;
  /** Drops from the bounding set all that is not in `keep` (PR_CAPBSET_DROP). Needs CAP_SETPCAP. */
  export function limitBounding(keep: CapabilityMask): Result;
  /** Clears the ambient set, then raises `mask` (PR_CAP_AMBIENT). */
  export function setAmbient(mask: CapabilityMask): Result;
  /** seccomp(2) SECCOMP_SET_MODE_FILTER with an array of struct sock_filter. Returns a listener descriptor if asked for. */
  export function seccompFilter(program: ArrayBuffer, flags: number): Result;

  // ---------------------------------------------------------------- terminals (native/sys/tty.c)

  /** Unlocks the slave of an open ptmx: TIOCSPTLCK. */
  export function unlockPty(master: number): Result;
  /** Opens the slave of an open ptmx, whatever the mount namespace: TIOCGPTPEER, O_RDWR|O_NOCTTY|O_CLOEXEC. */
  export function openPtyPeer(master: number): Descriptor;
  /** The number n of /dev/pts/n: TIOCGPTN. */
  export function ptyNumber(master: number): Result;
  /** TIOCSWINSZ. */
  export function setWindowSize(fd: number, rows: number, columns: number): Result;
  /** TIOCGWINSZ: [rows, columns]. */
  export function getWindowSize(fd: number): [rows: number, columns: number] | Failure;
  /** TIOCSCTTY: makes `fd` the controlling terminal of the calling session leader. */
  export function setControllingTty(fd: number): Result;
  /** isatty(3). */
  export function isatty(fd: number): boolean;

  // ---------------------------------------------------------------- polling (native/sys/poll.c)

  /** epoll_create1(2). */
  export function epollCreate(): Descriptor;
  /** epoll_ctl(2); `data` (32 bits) comes back in `epollWait`. */
  export function epollCtl(
    epoll: number,
    operation: number,
    fd: number,
    events: number,
    data: number,
  ): Result;
  /**
   * epoll_wait(2): n events as pairs of int32 (data, events) in `buffer`; -1 waits for ever. An
   * interruption counts as 0 events. The buffer's size bounds the events of a pass (at most 256).
   */
  export function epollWait(epoll: number, timeoutMs: number, buffer: ArrayBuffer): Result;
  /** poll(2) of one descriptor: revents, 0 when the time is over. fd -1 just sleeps. */
  export function poll1(fd: number, events: number, timeoutMs: number): Result;
  /** eventfd(2), non-blocking. */
  export function eventfd(initial: number): Descriptor;

  // ---------------------------------------------------------------- sockets (native/sys/socket.c)

  /** A non-blocking listening unix stream socket whose file has exactly `mode`. An existing file is -EADDRINUSE. */
  export function unixListen(path: string, mode: number, backlog: number): Descriptor;
  /** A non-blocking connected unix stream socket; -EAGAIN when the listener's backlog is full. */
  export function unixConnect(path: string): Descriptor;
  /** accept4(2): a non-blocking connection. */
  export function accept4(listener: number): Descriptor;
  /** SO_PEERCRED. */
  export function peerCredentials(fd: number): { pid: number; uid: number; gid: number } | Failure;
  /** shutdown(2): 0 reading, 1 writing, 2 both. */
  export function shutdown(fd: number, how: number): Result;
  /** socketpair(2) of unix stream sockets, blocking unless `O_NONBLOCK`. */
  export function socketpair(flags: number): [number, number] | Failure;
  /** SO_ERROR: the pending error as a positive errno, 0 for none. */
  export function socketError(fd: number): Result;
  /** sendmsg(2) of bytes (at least one) and descriptors (SCM_RIGHTS, at most 32). */
  export function sendFds(
    socket: number,
    buffer: ArrayBuffer,
    offset: number,
    length: number,
    fds: readonly number[],
  ): Result;
  /** recvmsg(2): [bytes, ...descriptors]; bytes 0 is the end. More than 32 descriptors are closed and give -EMSGSIZE. */
  export function recvFds(
    socket: number,
    buffer: ArrayBuffer,
    offset: number,
    length: number,
  ): number[] | Failure;
  /** A non-blocking listening vsock(7) stream socket on any CID. */
  export function vsockListen(port: number, backlog: number): Descriptor;
  /** A non-blocking vsock(7) stream socket, connecting: -EINPROGRESS never leaves, wait for writable and ask `socketError`. */
  export function vsockConnect(cid: number, port: number): Descriptor;

  // ---------------------------------------------------------------- network (native/sys/network.c)

  /** Brings an interface up or down: SIOCSIFFLAGS. */
  export function setInterfaceUp(name: string, up: boolean): Result;
  /** An IPv4 address and mask: SIOCSIFADDR, SIOCSIFNETMASK. */
  export function setInterfaceAddress(name: string, address: string, mask: string): Result;
  /** SIOCSIFMTU. */
  export function setInterfaceMtu(name: string, mtu: number): Result;
  /** SIOCSIFHWADDR of an Ethernet interface, "aa:bb:cc:dd:ee:ff". */
  export function setInterfaceMac(name: string, mac: string): Result;
  /** An IPv4 default route: SIOCADDRT. Anything more is netlink's work. */
  export function addDefaultRoute(gateway: string): Result;
  /** A netlink(7) socket, to be used with `read` and `write`. */
  export function netlinkOpen(protocol: number): Descriptor;

  // ---------------------------------------------------------------- clocks and entropy (native/sys/time.c)

  /** clock_settime(2) of CLOCK_REALTIME. */
  export function setClock(seconds: number, nanoseconds: number): Result;
  /** getrandom(2). */
  export function getrandom(buffer: ArrayBuffer, offset: number, length: number): Result;
  /** RNDADDENTROPY on an open /dev/random: bytes that hold so many bits of entropy, at most 8 each. */
  export function addEntropy(
    fd: number,
    buffer: ArrayBuffer,
    offset: number,
    length: number,
    bits: number,
  ): Result;
  /** RNDRESEEDCRNG on an open /dev/random: needed after a clone, or it repeats its template's numbers. */
  export function reseed(fd: number): Result;

  // ---------------------------------------------------------------- memory (native/sys/memory.c)

  /**
   * Makes the pages that this process uses its own, and present: after a fork the first use of each would be a fault, and
   * most often a copy.
   */
  export function populateMemory(): Result;

  // ---------------------------------------------------------------- text (native/sys/text.c)

  /** UTF-8 of `text`; lone surrogates become U+FFFD. */
  export function utf8Encode(text: string): ArrayBuffer;
  /** Writes the UTF-8 of `text` at `offset`: the bytes written, or -(bytes needed) if they do not fit. */
  export function utf8EncodeInto(text: string, buffer: ArrayBuffer, offset: number): number;
  /** UTF-8 to string, never throwing: ill-formed bytes become U+FFFD, as TextDecoder does. */
  export function utf8Decode(buffer: ArrayBuffer, offset: number, length: number): string;
  /** JSON.parse of UTF-8 bytes. Throws SyntaxError, also for ill-formed UTF-8. */
  export function jsonParse(buffer: ArrayBuffer, offset: number, length: number): unknown;

  // ---------------------------------------------------------------- engine (native/sys/engine.c)

  /** The function that the main loop calls for ever, pending jobs run before each call; null ends the program with status 0. */
  export function setTick(tick: (() => void) | null): void;
  /** What the engine has allocated, in bytes, and its limit. */
  export function memoryUsage(): { allocated: number; used: number; objects: number; limit: number };
  /** Plain objects, arrays and primitives as bytes for {@link deserialize}, cheaper than JSON. Throws for cycles and functions. */
  export function serialize(value: unknown): ArrayBuffer;
  /** What {@link serialize} was given, in this process or a copy of it. For no other's bytes: they are not checked. */
  export function deserialize(buffer: ArrayBuffer, offset: number, length: number): unknown;

  // ---------------------------------------------------------------- constants (native/sys/constants.c)

  /** Not the kernel's: tells `open` and `pipe2` not to add O_CLOEXEC. */
  export const O_INHERIT: number;
  /** No resource limit. */
  export const RLIM_INFINITY: bigint;
  /** `"ENOENT"`; undefined for those that are not below. */
  export function errnoName(errno: number): string | undefined;

  // errno: errno(3)
  export const EPERM: number,
    ENOENT: number,
    EINTR: number,
    EIO: number,
    ENOEXEC: number,
    EBADF: number,
    ECHILD: number,
    EAGAIN: number,
    ENOMEM: number,
    EACCES: number,
    EFAULT: number,
    EBUSY: number,
    EEXIST: number,
    EXDEV: number,
    ENODEV: number,
    ENXIO: number,
    ENOTDIR: number,
    EISDIR: number,
    EINVAL: number,
    ENFILE: number,
    EMFILE: number,
    ENOTTY: number,
    ETXTBSY: number,
    EFBIG: number,
    ENOSPC: number,
    ESPIPE: number,
    EROFS: number,
    EPIPE: number,
    ERANGE: number,
    ENAMETOOLONG: number,
    ENOSYS: number,
    ENOTEMPTY: number,
    ELOOP: number,
    ESRCH: number,
    E2BIG: number,
    EMSGSIZE: number,
    EOPNOTSUPP: number,
    EADDRINUSE: number,
    ECONNREFUSED: number,
    ECONNRESET: number,
    ENOTCONN: number,
    EINPROGRESS: number,
    ETIMEDOUT: number,
    ENODATA: number,
    EPROTO: number;
  // open(2)
  export const O_RDONLY: number,
    O_WRONLY: number,
    O_RDWR: number,
    O_CREAT: number,
    O_EXCL: number,
    O_TRUNC: number,
    O_APPEND: number,
    O_NONBLOCK: number,
    O_DIRECTORY: number,
    O_NOFOLLOW: number,
    O_CLOEXEC: number,
    O_PATH: number,
    O_NOCTTY: number,
    O_SYNC: number,
    O_TMPFILE: number;
  // openat2(2), *at(2)
  export const RESOLVE_NO_XDEV: number,
    RESOLVE_NO_MAGICLINKS: number,
    RESOLVE_NO_SYMLINKS: number,
    RESOLVE_BENEATH: number,
    RESOLVE_IN_ROOT: number,
    AT_FDCWD: number,
    AT_EMPTY_PATH: number,
    AT_RECURSIVE: number,
    AT_SYMLINK_NOFOLLOW: number;
  // inode(7)
  export const S_IFMT: number,
    S_IFSOCK: number,
    S_IFLNK: number,
    S_IFREG: number,
    S_IFBLK: number,
    S_IFDIR: number,
    S_IFCHR: number,
    S_IFIFO: number;
  // fcntl(2), flock(2), memfd_create(2), close_range(2)
  export const F_DUPFD_CLOEXEC: number,
    F_GETFD: number,
    F_SETFD: number,
    F_GETFL: number,
    F_SETFL: number,
    F_SETPIPE_SZ: number,
    F_GETPIPE_SZ: number,
    F_ADD_SEALS: number,
    F_GET_SEALS: number,
    F_SEAL_SEAL: number,
    F_SEAL_SHRINK: number,
    F_SEAL_GROW: number,
    F_SEAL_WRITE: number,
    LOCK_SH: number,
    LOCK_EX: number,
    LOCK_UN: number,
    LOCK_NB: number,
    MFD_ALLOW_SEALING: number,
    CLOSE_RANGE_CLOEXEC: number,
    FALLOC_FL_KEEP_SIZE: number,
    FALLOC_FL_PUNCH_HOLE: number;
  // mount(2), umount2(2), mount_setattr(2), open_tree(2), move_mount(2)
  export const MS_RDONLY: number,
    MS_NOSUID: number,
    MS_NODEV: number,
    MS_NOEXEC: number,
    MS_SYNCHRONOUS: number,
    MS_REMOUNT: number,
    MS_NOSYMFOLLOW: number,
    MS_NOATIME: number,
    MS_NODIRATIME: number,
    MS_BIND: number,
    MS_MOVE: number,
    MS_REC: number,
    MS_SILENT: number,
    MS_UNBINDABLE: number,
    MS_PRIVATE: number,
    MS_SLAVE: number,
    MS_SHARED: number,
    MS_RELATIME: number,
    MS_STRICTATIME: number,
    MS_LAZYTIME: number,
    MNT_FORCE: number,
    MNT_DETACH: number,
    MNT_EXPIRE: number,
    UMOUNT_NOFOLLOW: number,
    MOUNT_ATTR_RDONLY: number,
    MOUNT_ATTR_NOSUID: number,
    MOUNT_ATTR_NODEV: number,
    MOUNT_ATTR_NOEXEC: number,
    MOUNT_ATTR_NOSYMFOLLOW: number,
    OPEN_TREE_CLONE: number,
    MOVE_MOUNT_F_EMPTY_PATH: number,
    MOVE_MOUNT_T_EMPTY_PATH: number;
  // clone(2), unshare(2), setns(2)
  export const CLONE_FS: number,
    CLONE_PARENT: number,
    CLONE_NEWNS: number,
    CLONE_NEWCGROUP: number,
    CLONE_NEWUTS: number,
    CLONE_NEWIPC: number,
    CLONE_NEWUSER: number,
    CLONE_NEWPID: number,
    CLONE_NEWNET: number;
  // wait(2)
  export const WNOHANG: number, WUNTRACED: number;
  // signal(7)
  export const SIGHUP: number,
    SIGINT: number,
    SIGQUIT: number,
    SIGILL: number,
    SIGTRAP: number,
    SIGABRT: number,
    SIGBUS: number,
    SIGFPE: number,
    SIGKILL: number,
    SIGUSR1: number,
    SIGSEGV: number,
    SIGUSR2: number,
    SIGPIPE: number,
    SIGALRM: number,
    SIGTERM: number,
    SIGCHLD: number,
    SIGCONT: number,
    SIGSTOP: number,
    SIGTSTP: number,
    SIGTTIN: number,
    SIGTTOU: number,
    SIGWINCH: number,
    SIGPWR: number,
    SIGSYS: number;
  // prctl(2)
  export const PR_SET_PDEATHSIG: number,
    PR_SET_DUMPABLE: number,
    PR_SET_KEEPCAPS: number,
    PR_SET_SECUREBITS: number,
    PR_SET_NO_NEW_PRIVS: number,
    PR_SET_CHILD_SUBREAPER: number,
    PR_SET_THP_DISABLE: number;
  // seccomp(2)
  export const SECCOMP_FILTER_FLAG_TSYNC: number,
    SECCOMP_FILTER_FLAG_LOG: number,
    SECCOMP_FILTER_FLAG_SPEC_ALLOW: number,
    SECCOMP_FILTER_FLAG_NEW_LISTENER: number;
  // getrlimit(2)
  export const RLIMIT_CPU: number,
    RLIMIT_FSIZE: number,
    RLIMIT_DATA: number,
    RLIMIT_STACK: number,
    RLIMIT_CORE: number,
    RLIMIT_RSS: number,
    RLIMIT_NPROC: number,
    RLIMIT_NOFILE: number,
    RLIMIT_MEMLOCK: number,
    RLIMIT_AS: number,
    RLIMIT_LOCKS: number,
    RLIMIT_SIGPENDING: number,
    RLIMIT_MSGQUEUE: number,
    RLIMIT_NICE: number,
    RLIMIT_RTPRIO: number,
    RLIMIT_RTTIME: number;
  // reboot(2)
  export const RB_AUTOBOOT: number, RB_HALT_SYSTEM: number, RB_POWER_OFF: number;
  // epoll_ctl(2), poll(2)
  export const EPOLLIN: number,
    EPOLLPRI: number,
    EPOLLOUT: number,
    EPOLLERR: number,
    EPOLLHUP: number,
    EPOLLRDHUP: number,
    EPOLLET: number,
    EPOLLONESHOT: number,
    EPOLL_CTL_ADD: number,
    EPOLL_CTL_MOD: number,
    EPOLL_CTL_DEL: number,
    POLLIN: number,
    POLLOUT: number,
    POLLERR: number,
    POLLHUP: number,
    POLLNVAL: number;
  // socket(7), vsock(7), netlink(7)
  export const SHUT_RD: number,
    SHUT_WR: number,
    SHUT_RDWR: number,
    VMADDR_CID_HOST: number,
    VMADDR_CID_LOCAL: number,
    NETLINK_ROUTE: number;
}
