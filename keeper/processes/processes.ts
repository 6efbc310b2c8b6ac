/**
 * The keeper's children: spawned or forked, signalled, reaped, and remembered with their exit until they are forgotten.
 *
 * A process is known by the id that the daemon gave it. No child is reaped unseen and no pid is believed unchecked, so a
 * signal cannot hit a pid that was given out again. It decides nothing.
 */
import * as sys from "sys";
import { check, failure } from "../../native/runtime/check.ts";
import { type ChildReaper, cloneChild, type ExitStatus, spawnChild } from "../../native/runtime/child.ts";
import type { EventLoop } from "../../native/runtime/event-loop.ts";
import { processStartTime } from "../../native/runtime/files.ts";
import { BlazarError, blazarError } from "../../src/contracts/errors.ts";
import type {
  Jail,
  KeeperHello,
  KeeperProcessExited,
  ProcessAdopt,
  ProcessFork,
  ProcessIdentity,
  ProcessSpawn,
  StartedProcess,
} from "../../src/protocol/keeper/messages.ts";
import { AdoptedProcess } from "./adopted-process.ts";
import { type OpenFilesLimit, prepareChild } from "./child.ts";
import { ForkControl, parentOf } from "./fork-control.ts";
import { cloneFlags, unmountTemporary } from "./jail.ts";
import { listenInEmptyNetwork } from "./sockets.ts";
import { filterFile } from "./system-calls.ts";
import { Taps } from "./taps.ts";
import type { Uplinks } from "./uplinks.ts";

interface Child {
  readonly identity: ProcessIdentity;
  exited?: KeeperProcessExited;
  /** By which it is asked to fork. */
  forks?: ForkControl | undefined;
  /** Its copies get jails. */
  mayJail: boolean;
  /** What {@link Processes.seal} has to undo. */
  jail?: Jail | undefined;
  /** Undefined: it is the keeper's child. */
  adopted?: AdoptedProcess;
  /** execve(2) has not succeeded yet. */
  starting: boolean;
}

export interface ProcessesOptions {
  readonly loop: EventLoop;
  readonly reaper: ChildReaper;
  readonly openFiles: OpenFilesLimit;
  readonly uplinks: Pick<Uplinks, "find">;
  readonly onExit: (exited: KeeperProcessExited) => void;
}

export class Processes {
  private readonly options: ProcessesOptions;
  private readonly children = new Map<string, Child>();

  constructor(options: ProcessesOptions) {
    this.options = options;
  }

  /** Processes that run. */
  get running(): number {
    let count = 0;
    for (const child of this.children.values()) if (child.exited === undefined) count++;
    return count;
  }

  /** For the hello. */
  list(): KeeperHello["processes"] {
    return [...this.children].map(([id, { identity, exited }]) => ({ id, identity, exited }));
  }

  /** Answers once the program runs. Throws what {@link prepareChild} throws, or names the program. */
  async spawn(spec: ProcessSpawn): Promise<StartedProcess> {
    this.validate(spec);
    const taps = Taps.name(spec.taps?.length ?? 0);
    const { identity } = await this.spawnWith(spec, taps);
    return { ...identity, taps: taps.parked };
  }

  private async spawnWith(spec: ProcessSpawn, taps: Taps): Promise<Child> {
    const { loop, openFiles, uplinks } = this.options;
    const uplink = spec.jail?.uplink === undefined ? undefined : uplinks.find(spec.jail.uplink);
    const pair = spec.forkControl === undefined ? undefined : ForkControl.pair();
    let child: Child | undefined;
    try {
      await spawnChild(
        loop,
        { flags: cloneFlags(spec.jail) },
        () => prepareChild(spec, openFiles, { forkControl: pair?.child, taps, uplink }),
        (pid) => {
          child = this.register(spec.id, pid);
        },
      );
      if (child !== undefined && pair !== undefined) child.forks = new ForkControl(loop, pair.own);
    } catch (error) {
      if (child !== undefined) this.children.delete(spec.id);
      if (pair !== undefined) sys.close(pair.own);
      throw named(error, spec);
    } finally {
      if (pair !== undefined) sys.close(pair.child);
    }
    if (child === undefined) throw new Error("a child that was never registered");
    child.starting = false;
    child.jail = spec.jail;
    child.mayJail = spec.jail?.forks !== undefined;
    // It may have ended before the pipe told that it had begun.
    if (child.exited !== undefined) this.options.onExit(child.exited);
    return child;
  }

  /** The copy is a sibling of its original (CLONE_PARENT), and so a child of the keeper. */
  async fork({ id, original, words, taps: count = 0, ...wanted }: ProcessFork): Promise<StartedProcess> {
    const operation = "fork a process";
    this.refuseKnown(id, operation);
    this.forkable(original, operation);
    const taps = Taps.name(count);
    const opened = await taps.openAside(this.options.loop, this.options.reaper);
    const given = handedOver(opened, wanted, () => this.forkable(original, operation).mayJail);
    const pid = await this.forkable(original, operation).forks.fork(words, given);
    // The original named this pid, and the original is not trusted.
    const known = [...this.children.values()].some((child) => child.identity.pid === pid && !child.exited);
    // A copy that could not go on has ended already.
    const own = parentOf(pid) === sys.getpid() || this.options.reaper.hasEnded(pid);
    if (known || !own)
      throw refused("HostResource", operation, original, `its fork ${pid} is no child of the keeper`);
    this.refuseKnown(id, operation);
    const child = this.register(id, pid);
    child.starting = false;
    return { ...child.identity, taps: taps.parked };
  }

  /** Takes from a process's jail what is temporary. Throws ProcessNotFound, ProcessNotRunning, HostResource. */
  async seal(id: string): Promise<void> {
    const operation = "seal a jail";
    const child = this.alive(id, operation);
    const { jail } = child;
    if (jail === undefined) return;
    const { pid } = child.identity;
    const status = await new Promise<ExitStatus>((resolve) => {
      const helper = cloneChild({}, () => {
        unmountTemporary(pid, jail);
        return 0;
      });
      this.options.reaper.onExit(helper, resolve);
    });
    if (status.code !== 0) {
      this.alive(id, operation);
      throw refused("HostResource", operation, id, "it did not work; see the keeper's log");
    }
    child.jail = undefined;
  }

  /**
   * Takes over a process that runs, and that another keeper has started. Again with the same one does nothing. Throws
   * ProcessNotFound, ProcessExists, HostResource.
   */
  adopt({ id, pid, startTime }: ProcessAdopt): void {
    const operation = "adopt a process";
    const known = this.children.get(id)?.identity;
    if (known?.pid === pid && known.startTime === startTime) return;
    this.refuseKnown(id, operation);
    const adopted = AdoptedProcess.find(this.options.loop, { pid, startTime }, id);
    const child: Child = { identity: { pid, startTime }, starting: false, mayJail: false, adopted };
    this.children.set(id, child);
    adopted.onEnd = () => this.ended(id, child, { code: undefined, signal: undefined });
  }

  /** Of one that runs. Throws ProcessNotFound or ProcessNotRunning. */
  pidOf(id: string): number {
    return this.alive(id, "look for a process").identity.pid;
  }

  /** Throws ProcessNotFound or ProcessNotRunning. */
  signal(id: string, signal: number): void {
    const operation = "signal a process";
    const { identity, adopted } = this.alive(id, operation);
    check(adopted?.signal(signal) ?? sys.kill(identity.pid, signal), operation, id);
  }

  /** Throws IllegalTransition while it runs. */
  forget(id: string): void {
    const child = this.children.get(id);
    if (child !== undefined && child.exited === undefined)
      throw refused("IllegalTransition", "forget a process", id, "it still runs");
    this.children.delete(id);
  }

  private forkable(id: string, operation: string): Child & { readonly forks: ForkControl } {
    const child = this.children.get(id);
    if (child === undefined) throw refused("ProcessNotFound", operation, id, "no such process");
    const { forks } = child;
    if (forks === undefined || child.exited !== undefined)
      throw refused("ProcessNotRunning", operation, id, "it cannot fork, or has ended");
    return { ...child, forks };
  }

  private alive(id: string, operation: string): Child {
    const child = this.children.get(id);
    if (child === undefined) throw refused("ProcessNotFound", operation, id, "no such process");
    if (child.exited !== undefined) throw refused("ProcessNotRunning", operation, id, "it has ended");
    return child;
  }

  private validate({ id, argv }: ProcessSpawn): void {
    const operation = "start a process";
    this.refuseKnown(id, operation);
    if (argv[0]?.startsWith("/") !== true)
      throw refused("InvalidArgument", operation, id, `${argv[0] ?? "nothing"} is no absolute path`);
  }

  private refuseKnown(id: string, operation: string): void {
    if (this.children.has(id)) throw refused("ProcessExists", operation, id, "there is one of this name");
  }

  private register(id: string, pid: number): Child {
    const child: Child = {
      identity: { pid, startTime: processStartTime(pid) ?? 0 },
      starting: true,
      mayJail: false,
    };
    this.children.set(id, child);
    this.options.reaper.onExit(pid, (status) => this.ended(id, child, status));
    return child;
  }

  private ended(id: string, child: Child, { code, signal }: ExitStatus): void {
    child.exited = { id, code: code ?? -1, signal: signal ?? 0 };
    child.forks?.close();
    if (!child.starting && this.children.get(id) === child) this.options.onExit(child.exited);
  }
}

/**
 * Descriptors for a copy, which can open no path: files, sockets, the taps, and the filter of a jail. Throws HostResource,
 * and then closes the taps, too.
 */
function handedOver(
  taps: readonly number[],
  { files = [], sockets = [] }: Pick<ProcessFork, "files" | "sockets">,
  jailed: () => boolean,
): number[] {
  const given: number[] = [];
  try {
    for (const { path, flags, mode } of files) {
      const fd = sys.open(path, flags, mode);
      if (fd < 0) throw failure(fd, "HostResource", "open a file for a process", path);
      given.push(fd);
    }
    given.push(...listenInEmptyNetwork(sockets));
    const filter = jailed() ? [check(sys.dup(filterFile()), "hand over a filter")] : [];
    return [...given, ...taps, ...filter];
  } catch (error) {
    closeAll([...given, ...taps]);
    throw error;
  }
}

function closeAll(fds: readonly number[]): void {
  for (const fd of fds) sys.close(fd);
}

/** Says which program it was, in the words of a VMM's operator. */
function named(error: unknown, spec: ProcessSpawn): unknown {
  if (!(error instanceof BlazarError)) return error;
  const operation = "start a process";
  const subject = spec.argv[0];
  const { reason } = error.details;
  if (error.code === "CommandNotFound") {
    return blazarError("VmmNotInstalled", operation, reason, {
      subject,
      remedy: "install it, or set the path of the one to use",
      cause: error,
    });
  }
  if (error.code !== "CommandNotExecutable") return error;
  const denied = reason.includes("EACCES") || reason.includes("EPERM");
  return blazarError(denied ? "PermissionDenied" : "VmmFailed", operation, reason, { subject, cause: error });
}

function refused(
  code:
    | "ProcessNotFound"
    | "ProcessNotRunning"
    | "ProcessExists"
    | "IllegalTransition"
    | "InvalidArgument"
    | "HostResource",
  operation: string,
  subject: string,
  reason: string,
): BlazarError {
  return blazarError(code, operation, reason, { subject });
}
