/**
 * What the daemon and the keeper say to each other beside the Task relay and the stdio bytes.
 *
 * The keeper does what it is told and remembers it: processes that it has spawned or forked, FIFOs that it holds open, Task
 * connections that containerd has opened. It decides nothing. The daemon allots stream ids; they mean the same to a later
 * daemon, which finds them in the keeper's hello.
 */
import { array, boolean, type Check, integer, object, oneOf, optional, string } from "../wire/json.ts";

/**
 * What the protocol has learned since the major version came: 1 = `process.adopt`, and in the hello the next request of each
 * Task connection and the streams that have ended. Nothing that an older keeper lacks may be needed.
 */
export const KEEPER_PROTOCOL_MINOR = 1;

const uint32 = integer(0, 0xffff_ffff);

const mode = integer(0, 0o777);

/** Of one process. */
const MOST_TAPS = 16;

/** Mounts of a jail: what of the host is in it. */
const jailMount = object({
  source: string,
  target: string,
  readonly: boolean,
  /** Mounts made below the source later appear in the jail. */
  follow: boolean,
  /** Detached by `process.seal`. */
  temporary: boolean,
});

/** Namespaces of the process's own and an empty root (mount_namespaces(7), pivot_root(2)). */
const jail = object({
  mounts: array(jailMount, 64),
  /** A /proc until `process.seal`. */
  proc: boolean,
  /** It stays after that. */
  keepsProc: optional(boolean),
  /** The process makes jails for its copies: a user namespace with these ids. */
  forks: optional(object({ firstUid: uint32, count: integer(1, 0xffff_ffff) })),
  /** The process serves this uplink, and stays in the keeper's network namespace. */
  uplink: optional(string),
});
export type Jail = ReturnType<typeof jail>;

/** `process.spawn`: starts a VMM (or a helper of one) as the keeper's child. */
export const processSpawn = object({
  /** The daemon's name for it; unique while it is remembered. */
  id: string,
  /** Absolute path of the program, then its arguments. */
  argv: array(string, 1024),
  env: array(string, 256),
  cwd: string,
  /** Absent: keep the keeper's own (an unprivileged keeper). */
  uid: optional(uint32),
  gid: optional(uint32),
  groups: array(uint32, 64),
  /** The only capabilities it keeps, ambient: names as in capabilities(7). Ignored without `uid`. */
  capabilities: array(string, 64),
  /** Files opened in the child before privileges are dropped. Flags as in open(2), numeric. */
  files: array(object({ fd: integer(0, 255), path: string, flags: uint32, mode }), 64),
  /** Listening unix sockets, made by the child in its jail's network namespace. */
  sockets: optional(array(object({ fd: integer(3, 255), path: string, mode }), 16)),
  /** New taps of the keeper's parking network namespace. */
  taps: optional(array(object({ fd: integer(3, 255) }), MOST_TAPS)),
  jail: optional(jail),
  /** SCHED_IDLE and IOPRIO_CLASS_IDLE. */
  idle: optional(boolean),
  /** cgroup.procs files that the child enters before execve. */
  cgroups: array(string, 64),
  /** -1 = unlimited. */
  rlimits: array(object({ type: string, soft: integer(-1), hard: integer(-1) }), 32),
  oomScoreAdj: optional(integer(-1000, 1000)),
  /** False: none for it (PR_SET_THP_DISABLE). Absent: what the host has set. */
  hugePages: optional(boolean),
  /** One end of a socket pair in the child, by which it is asked to fork; the keeper keeps the other. */
  forkControl: optional(integer(3, 255)),
});
export type ProcessSpawn = ReturnType<typeof processSpawn>;

/** `process.fork`: has a process that was spawned with a `forkControl` copy itself; the copy is the keeper's child. */
export const processFork = object({
  /** The daemon's name for the copy; unique while it is remembered. */
  id: string,
  /** Id of the process that is copied. */
  original: string,
  /** What the original is told (native/fork/vmm-fork.c). */
  words: array(string, 32),
  /** Opened by the keeper and sent with the words, then the sockets, which belong to an empty network namespace. */
  files: optional(array(object({ path: string, flags: uint32, mode }), 16)),
  sockets: optional(array(object({ path: string, mode }), 8)),
  /** So many new taps are sent after them. */
  taps: optional(integer(0, MOST_TAPS)),
});
export type ProcessFork = ReturnType<typeof processFork>;

/** What identifies a process beyond the reuse of its pid: field 22 of /proc/PID/stat, in clock ticks. */
export const processIdentity = object({ pid: integer(1), startTime: integer(0) });
export type ProcessIdentity = ReturnType<typeof processIdentity>;

/** What was made. `namespace` is a path below the keeper's /proc directory. */
export const startedProcess = object({
  pid: integer(1),
  startTime: integer(0),
  taps: array(object({ name: string, namespace: string }), MOST_TAPS),
});
export type StartedProcess = ReturnType<typeof startedProcess>;

/** Event `process.exited`; repeated in hellos until `process.forget`. */
export const keeperProcessExited = object({
  id: string,
  /** Exit code, or -1 if a signal ended it. */
  code: integer(-1, 255),
  signal: integer(0, 64),
});
export type KeeperProcessExited = ReturnType<typeof keeperProcessExited>;

/** `process.adopt`: a process that a keeper has left that died. Nobody will say how it ends: code -1, signal 0. */
export const processAdopt = object({ id: string, pid: integer(1), startTime: integer(0) });
export type ProcessAdopt = ReturnType<typeof processAdopt>;

export const keeperProcessRef = object({ id: string });
export const keeperProcessSignal = object({ id: string, signal: integer(1, 64) });

/** In the jail of a process that serves an uplink: its user namespace, and its network namespace. */
export const UPLINK_USER = "/uplink/user";
export const UPLINK_NETWORK = "/uplink/net";

/** `uplink.make`: a network namespace with one tap, in a user namespace that belongs to `uid`. */
export const uplinkMake = object({
  /** The daemon's name for it; unique until `uplink.drop`. */
  id: string,
  uid: uint32,
  gid: uint32,
  /** Name of the tap. */
  tap: string,
});
export type UplinkMake = ReturnType<typeof uplinkMake>;

/** `uplink.adopt`: holds what a keeper that has died has made, as long as the process that serves it runs. */
export const uplinkAdopt = object({
  /** As in {@link uplinkMake}. */
  id: string,
  /** Of the process that serves it, which this keeper has adopted. */
  process: string,
});

/** `stdio.open`: opens the FIFOs O_RDWR and serves them as streams; a stream id of 0 with path "" = none. */
export const stdioOpen = object({
  id: string,
  stdin: object({ path: string, stream: uint32 }),
  stdout: object({ path: string, stream: uint32 }),
  stderr: object({ path: string, stream: uint32 }),
});
export type StdioOpen = ReturnType<typeof stdioOpen>;

/** `stdio.close`: closes all that is open of it (containerd waits for that end of file) and forgets it. */
export const stdioRef = object({ id: string });

/** `network.watch`: tells `network.changed` from now on, until `network.unwatch` or the end of the daemon's connection. */
export const networkWatch = object({
  id: string,
  /** Of a network namespace. */
  path: string,
});
export type NetworkWatch = ReturnType<typeof networkWatch>;

/** `network.unwatch`, and the event `network.changed`: links, addresses, routes or neighbours. */
export const networkRef = object({ id: string });

/** What the keeper knows, in its hello: a daemon that was restarted starts from this. */
export const keeperHello = object({
  role: oneOf("keeper"),
  keeper: string,
  pid: integer(1),
  processes: array(object({ id: string, identity: processIdentity, exited: optional(keeperProcessExited) })),
  stdio: array(
    object({
      open: stdioOpen,
      /** All outputs have ended. */
      ended: boolean,
      /** The streams of those that have: their end has reached the FIFO. */
      endedStreams: optional(array(uint32, 2)),
    }),
  ),
  /** Open Task connections. */
  connections: array(uint32),
  /** Of each of them, the number that its next request will have. */
  nextRequests: optional(array(object({ connection: uint32, next: integer(1) }))),
});
export type KeeperHello = ReturnType<typeof keeperHello>;

/** Events `task.opened`, `task.closed`: containerd has opened or closed a Task connection. */
export const taskConnection = object({ connection: uint32 });

const nothing: Check<Record<string, never>> = object({});

/** Every request of the daemon: name → check of its params and of its result. */
export const KEEPER_REQUESTS = {
  ping: { params: nothing, result: nothing },
  "process.spawn": { params: processSpawn, result: startedProcess },
  "process.fork": { params: processFork, result: startedProcess },
  "process.seal": { params: keeperProcessRef, result: nothing },
  "process.signal": { params: keeperProcessSignal, result: nothing },
  "process.adopt": { params: processAdopt, result: nothing },
  "process.forget": { params: keeperProcessRef, result: nothing },
  /** `namespace` is a path below the keeper's /proc directory. */
  "uplink.make": { params: uplinkMake, result: object({ namespace: string }) },
  /** One that is held already is fine. */
  "uplink.adopt": { params: uplinkAdopt, result: nothing },
  /** An unknown id is fine. */
  "uplink.drop": { params: object({ id: string }), result: nothing },
  "stdio.open": { params: stdioOpen, result: nothing },
  /** Ends the input stream: closes the keeper's end of stdin only. */
  "stdio.closeInput": { params: stdioRef, result: nothing },
  "stdio.close": { params: stdioRef, result: nothing },
  "network.watch": { params: networkWatch, result: nothing },
  "network.unwatch": { params: networkRef, result: nothing },
  /** Ends the keeper if it has no processes and no streams; else FailedPrecondition. */
  shutdown: { params: nothing, result: nothing },
} as const satisfies Record<string, { params: Check<unknown>; result: Check<unknown> }>;

export type KeeperOp = keyof typeof KEEPER_REQUESTS;
export type KeeperParams<Op extends KeeperOp> = ReturnType<(typeof KEEPER_REQUESTS)[Op]["params"]>;
export type KeeperResult<Op extends KeeperOp> = ReturnType<(typeof KEEPER_REQUESTS)[Op]["result"]>;

/** Every event of the keeper. */
export const KEEPER_EVENTS = {
  "process.exited": keeperProcessExited,
  "task.opened": taskConnection,
  "task.closed": taskConnection,
  "network.changed": networkRef,
} as const;
export type KeeperEventName = keyof typeof KEEPER_EVENTS;
