/**
 * The keeper port: what the daemon asks of the process that outlives it.
 *
 * The keeper holds what a dead daemon must not take with it: the VMMs as their parent, the containers' FIFOs and containerd's
 * Task connections. A new daemon finds processes and stdio by the ids that the old one gave them. `host/keeper/client.ts` and
 * `test/support/fake-keeper/keeper.ts` implement the port; both pass `test/support/conformance/keeper.ts`.
 */

/** A file for the child: opened in it, before its privileges are dropped. */
export interface SpawnFile {
  /** The descriptor's number in the child, 0 to 255. */
  readonly fd: number;
  /** An absolute path. */
  readonly path: string;
  /** As in open(2), Linux's numbers. */
  readonly flags: number;
  /** Permissions of a file that is created by it. */
  readonly mode: number;
}

/** A resource limit; `type` as `RLIMIT_NOFILE`, -1 = unlimited. */
export interface SpawnLimit {
  readonly type: string;
  readonly soft: number;
  readonly hard: number;
}

/** A listening unix stream socket for the child, made by the keeper; a socket that somebody left at the path is removed. */
export interface SpawnSocket {
  /** The descriptor's number in the child, 3 to 255. */
  readonly fd: number;
  /** An absolute path on the host. */
  readonly path: string;
  /** Permissions of the socket's file. */
  readonly mode: number;
}

/**
 * An Ethernet tap for a process: a new one, down, in the keeper's parking network namespace, made with IFF_VNET_HDR. It ends
 * with its last descriptor, in whatever network namespace it is then.
 */
export interface SpawnTap {
  /** The descriptor's number in the process, 3 to 255. */
  readonly fd: number;
}

/** Where a process's tap is at first. */
export interface ParkedTap {
  /** Its name, which no other tap of this keeper ever has. */
  readonly name: string;
  /** Path of the network namespace that it is in; nothing but taps is there. */
  readonly namespace: string;
}

/** Something of the host that is there in a jail. */
export interface JailMount {
  /** An absolute path on the host. A link is made again in the jail as it is, and not followed. */
  readonly source: string;
  /** Where it is in the jail; its directories are made. */
  readonly target: string;
  readonly readonly: boolean;
  /**
   * Mounts that are made later below the source on the host appear in the jail, too. For that the source becomes a mount of
   * its own on the host, which whoever made the directory has to undo.
   */
  readonly follow: boolean;
  /** Gone after {@link Keeper.seal}. */
  readonly temporary: boolean;
}

/**
 * A jail: mount, PID, IPC, UTS and network namespaces of the process's own, and a root file system that is empty, read-only
 * and has nothing of the host but these mounts. Many system calls are forbidden in it, those for mounts and namespaces
 * among them. Takes a keeper that is root.
 */
export interface Jail {
  readonly mounts: readonly JailMount[];
  /** True: a /proc that shows the process itself, until {@link Keeper.seal}. */
  readonly proc: boolean;
  /** True: that /proc stays, for a process that reaches its own descriptors by it. */
  readonly keepsProc?: boolean | undefined;
  /**
   * The process may make jails for its own copies ({@link ProcessFork}). It has a user namespace, in which these users
   * are mapped to themselves, keeps the keeper's PID namespace, and no system call is forbidden to it.
   */
  readonly forks?: { readonly firstUid: number; readonly count: number } | undefined;
  /**
   * Id of an uplink ({@link Keeper.makeUplink}) that the process serves. It stays in the keeper's network namespace and may
   * use the internet there. It finds the uplink's namespaces in its jail (UPLINK_USER and UPLINK_NETWORK in
   * protocol/keeper/messages.ts), /dev/net/tun, and an empty /tmp; and it may make itself a jail of its own.
   */
  readonly uplink?: string | undefined;
}

/** A network namespace with one persistent tap, which ends when it is dropped and nobody is in it. */
export interface UplinkSpec {
  /** The daemon's name for it; unique until {@link Keeper.dropUplink}. */
  readonly id: string;
  /** The user who may administer it, and nothing else: its user namespace belongs to this user. */
  readonly uid: number;
  readonly gid: number;
  /** Name of the tap. */
  readonly tap: string;
}

/** A process to start, and everything it may have. */
export interface ProcessSpawn {
  /** The daemon's name for it; unique until {@link Keeper.forget}. */
  readonly id: string;
  /** Absolute path of the program, then its arguments. */
  readonly argv: readonly string[];
  /** The whole environment, as `KEY=value`. */
  readonly env: readonly string[];
  readonly cwd: string;
  /** Absent: the keeper's own user, with all that it may do. */
  readonly uid?: number | undefined;
  readonly gid?: number | undefined;
  /** Supplementary groups; all others are dropped. */
  readonly groups: readonly number[];
  /** The only capabilities that it keeps (capabilities(7), `CAP_…`). Ignored without `uid`. */
  readonly capabilities: readonly string[];
  /** Descriptors 0, 1 and 2 are /dev/null unless given here; no others are inherited. */
  readonly files: readonly SpawnFile[];
  /** Default: none. */
  readonly sockets?: readonly SpawnSocket[] | undefined;
  /** Default: none. Takes a keeper that is root. */
  readonly taps?: readonly SpawnTap[] | undefined;
  /** Undefined: it sees what its user may see. */
  readonly jail?: Jail | undefined;
  /** True: it gets what nobody else wants of processors and disks (SCHED_IDLE, IOPRIO_CLASS_IDLE). */
  readonly idle?: boolean | undefined;
  /** `cgroup.procs` files of the cgroups to start in. */
  readonly cgroups: readonly string[];
  readonly rlimits: readonly SpawnLimit[];
  /** -1000 to 1000; left alone where the keeper may not lower it. */
  readonly oomScoreAdj?: number | undefined;
  /** False: no transparent huge pages, whatever it asks for (prctl(2), PR_SET_THP_DISABLE). */
  readonly hugePages?: boolean | undefined;
  /** The descriptor by which it can be asked to fork (native/fork); {@link Keeper.fork} needs it. */
  readonly forkControl?: number | undefined;
}

/** A copy of a running process, made by that process itself. */
export interface ProcessFork {
  /** The daemon's name for the copy, as in {@link ProcessSpawn.id}. */
  readonly id: string;
  /** Id of the process that is copied; it was spawned with a {@link ProcessSpawn.forkControl}. */
  readonly original: string;
  /** What the original is told, each without NUL; only the two of them understand it. */
  readonly words: readonly string[];
  /** Opened by the keeper and handed over in this order; paths and flags as in {@link SpawnFile}. Default: none. */
  readonly files?: readonly Omit<SpawnFile, "fd">[] | undefined;
  /** Made by the keeper and handed over after the files. Default: none. */
  readonly sockets?: readonly Omit<SpawnSocket, "fd">[] | undefined;
  /** So many taps are made and handed over after the sockets. Default: none. */
  readonly taps?: number | undefined;
}

/** What identifies a process beyond the reuse of its pid. */
export interface ProcessIdentity {
  readonly pid: number;
  /** Field 22 of /proc/PID/stat, in clock ticks. */
  readonly startTime: number;
}

/** A process that has been made. */
export interface StartedProcess extends ProcessIdentity {
  /** Its taps, in the order in which they were asked for. */
  readonly taps: readonly ParkedTap[];
}

/** How a process ended. */
export interface ProcessExit {
  readonly id: string;
  /** Exit code, or -1 if a signal ended it, or if nobody knows: {@link Keeper.adopt}. */
  readonly code: number;
  /** The signal that ended it; 0 if none did, or if nobody knows. */
  readonly signal: number;
}

/** What the keeper holds, whoever asked for it. */
export interface KeeperInventory {
  /** Processes not yet forgotten; `exit` once they have ended. */
  readonly processes: readonly {
    readonly id: string;
    readonly identity: ProcessIdentity;
    readonly exit?: ProcessExit;
  }[];
  /** Ids under which stdio is open. */
  readonly stdio: readonly string[];
}

/** Paths of a container process's FIFOs; "" where it has none. */
export interface StdioPaths {
  readonly stdin: string;
  readonly stdout: string;
  readonly stderr: string;
}

/** An output stream of a container process. */
export type OutputStream = "stdout" | "stderr";

/** What the keeper tells about a process's stdio. Offsets count from 0 over the stream's whole life. */
export interface StdioHandlers {
  /** Everything below `offset` is in the FIFO (the stream's end counts as one); `window` bytes more may come. */
  acknowledged(stream: OutputStream, offset: number, window: number): void;
  /** Bytes that containerd has written. A view: copy to keep. Nothing comes before the first ack of input. */
  input(offset: number, bytes: Uint8Array): void;
  /** The output has ended, and all of it is in the FIFO: an earlier daemon has seen to that. */
  ended?(stream: OutputStream): void;
  /** The input has ended at `offset`; answered by an ack of `offset + 1`. */
  inputEnd(offset: number): void;
  /** The keeper is reachable (again). Nothing has to be done: the binding sends again what was lost. */
  attached?(): void;
  /** The keeper is out of reach: acks stop, and so does the credit. */
  detached?(): void;
  /** The keeper has died, and with it the FIFOs' ends that it held. Nothing is told any more, and what comes goes nowhere. */
  lost?(): void;
}

/** The daemon's hold of a process's stdio in the keeper. */
export interface StdioBinding {
  /**
   * Output from the guest. It is kept until it is acknowledged: a lost link to the keeper loses nothing. Throws
   * FrameUnexpected at a gap, past the credit or after the end: whoever sent it broke the protocol.
   */
  data(stream: OutputStream, offset: number, bytes: Uint8Array): void;
  /** The output has ended at `offset`; the FIFO is closed as soon as all of it is in there. */
  end(stream: OutputStream, offset: number): void;
  /** The guest has consumed the input below `offset` and takes `window` bytes more. Throws FrameUnexpected
   * if it acknowledges what was never sent. */
  acknowledgeInput(offset: number, window: number): void;
  /** What is in the stdin FIFO is the last of it. */
  closeInput(): Promise<void>;
  /** Closes what is open and forgets the positions. */
  close(): Promise<void>;
}

/** Where a Task request came from. */
export interface TaskMessageContext {
  /** The connection's number, unique in the keeper's life. */
  readonly connection: number;
  /** An earlier daemon may have done some or all of what it asks for. */
  readonly replayed: boolean;
  /** Aborts when containerd has closed the connection: nobody waits for the answer any more. */
  readonly signal: AbortSignal;
}

/**
 * Answers one whole ttrpc message (header included) with another; an empty answer sends nothing. A message that a dead
 * daemon left unanswered comes again: calls must be idempotent.
 */
export type TaskMessageHandler = (message: Uint8Array, context: TaskMessageContext) => Promise<Uint8Array>;

/**
 * The keeper, as the daemon sees it. Every call fails with KeeperLost if the keeper cannot be reached in time.
 *
 * If it dies, what it was asked for fails with KeeperLost at once, and calls wait for the next keeper. Running processes are
 * adopted by that one: here they stay as they were, but nobody knows how they end. Stdio, Task connections, uplinks, taps that
 * nobody has taken and the ways to have processes fork are gone. Networks are watched on.
 */
export interface Keeper {
  /** Of the one that is there, or was there last. */
  readonly pid: number;
  /** False while the link is down; it comes back by itself. */
  readonly connected: boolean;
  /** How often a link that was up has gone down. */
  readonly linkLosses: number;
  /** How often a keeper has died under this daemon. */
  readonly deaths: number;
  /** Sets who is told of a keeper's death, as soon as it is known: before anything is heard of the next keeper. */
  onDeath(handler: () => void): void;
  /** Resolves when the keeper has answered. */
  ping(): Promise<void>;
  /** What the keeper holds now: for a daemon that has to take over, or to clear up, what another one left. */
  inventory(): KeeperInventory;
  /**
   * Starts a process. When `signal` aborts, the call fails with Cancelled and the process, should it start
   * nevertheless, is killed and forgotten. Fails with VmmNotInstalled or PermissionDenied naming the program,
   * ProcessExists, InvalidArgument, HostResource.
   */
  spawn(spec: ProcessSpawn, signal?: AbortSignal): Promise<StartedProcess>;
  /**
   * Has a process fork itself; the copy is the keeper's child like any other. Aborts as {@link spawn}. Fails with
   * ProcessNotFound or ProcessNotRunning (the original), ProcessExists, InvalidArgument, HostResource.
   */
  fork(request: ProcessFork, signal?: AbortSignal): Promise<StartedProcess>;
  /**
   * Takes from a process's jail what is temporary in it. A process without a jail, or with a sealed one, stays as it is.
   * Fails with ProcessNotFound, ProcessNotRunning or HostResource.
   */
  seal(id: string): Promise<void>;
  /**
   * Takes over a process that runs and that another keeper has started, which has died. Again with the same one does nothing.
   * The end of one that has ended and is not reaped yet is told at once.
   * Fails with ProcessNotFound (it has ended), ProcessExists, Unimplemented (an older keeper).
   */
  adopt(id: string, identity: ProcessIdentity): Promise<void>;
  /** Sends a signal. Fails with ProcessNotFound (unknown id) or ProcessNotRunning (it has ended). */
  signal(id: string, signal: number): Promise<void>;
  /** Forgets a process that has ended; an unknown id is fine. Fails with IllegalTransition while it runs. */
  forget(id: string): Promise<void>;
  /** Resolves when the process has ended, at once if it already has. Fails with ProcessNotFound or KeeperLost. */
  exited(id: string): Promise<ProcessExit>;
  /**
   * Makes an uplink and resolves with the path of its network namespace. Aborts as {@link spawn}. Takes a keeper that is root.
   * Fails with IllegalTransition (there is one of this id), PermissionDenied, HostResource.
   */
  makeUplink(spec: UplinkSpec, signal?: AbortSignal): Promise<string>;
  /**
   * Holds an uplink that another keeper has made and `process` serves: without that its namespace ends with the process. One that
   * is held already stays as it is. Fails with ProcessNotFound or ProcessNotRunning, HostResource, Unimplemented (an older keeper).
   */
  adoptUplink(id: string, process: string): Promise<void>;
  /** Lets go of an uplink; an unknown id is fine. */
  dropUplink(id: string): Promise<void>;
  /**
   * Opens a process's FIFOs, or takes up those that an earlier daemon opened under the same id and paths.
   * Fails with InvalidArgument naming a path that is no FIFO.
   */
  openStdio(id: string, paths: StdioPaths, handlers: StdioHandlers): Promise<StdioBinding>;
  /** Closes what an earlier daemon has opened, by its id alone, and forgets it; an unknown id is fine. */
  closeStdio(id: string): Promise<void>;
  /** Sets who answers containerd's Task requests; those that came before are handed over now. */
  onTaskMessage(handler: TaskMessageHandler): void;
  /**
   * Tells when links, addresses, routes or neighbours of a network namespace have changed; a burst is told once. Also told
   * after the link was lost, because nobody has looked meanwhile. An id has one watch: a second one replaces the first. The
   * namespace stays alive while it is watched. Fails with HostResource naming the path, or ResourceExhausted.
   */
  watchNetwork(id: string, path: string, onChanged: () => void): Promise<void>;
  /** Ends a watch at once; an unknown id is fine. */
  unwatchNetwork(id: string): Promise<void>;
  /** Leaves the keeper running. */
  close(): Promise<void>;
  /** Ends the keeper. Fails with IllegalTransition while it has running processes or open stdio. */
  shutdown(): Promise<void>;
}
