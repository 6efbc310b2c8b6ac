/**
 * One process of a container, from its making to its deletion: the first process and execs alike.
 *
 * A process is `created` while it waits for its start and `running` once it has been executed. It is `exited` once it
 * has a status and its own output has been handed over. Children that an exec leaves behind may write a little longer.
 */
import * as sys from "sys";
import { check, errnoOf } from "../../../native/runtime/check.ts";
import { cloneChild, type ExitStatus, shellStatus } from "../../../native/runtime/child.ts";
import { deferred, nextPass } from "../../../native/runtime/promises.ts";
import { blazarError } from "../../../src/contracts/errors.ts";
import type { GuestProcess, GuestSeccomp, GuestStdio } from "../../../src/protocol/guest/messages.ts";
import type { AgentContext } from "../context.ts";
import type { ContainerRoot } from "../root/root-sources.ts";
import type { PodDescriptors } from "../sandbox/user-namespace.ts";
import { becomeFirstProcess, type FirstProcess } from "./first-process.ts";
import { Launch } from "./launch.ts";
import type { ContainerNamespaces } from "./namespaces.ts";
import { birthError, runChild } from "./process-child.ts";
import { ProcessStdio } from "./stdio.ts";

export type ProcessState = "created" | "running" | "exited";

const NO_TERMINAL = -1;

/**
 * What may still hold a process's output when the process has ended: nothing for long, because all of it has been killed,
 * or its children, which are given that much time.
 */
export type Survivors = "killed" | { readonly drainMs: number };
export const KILLED: Survivors = "killed";

export interface ProcessPlan {
  readonly process: GuestProcess;
  readonly seccomp: GuestSeccomp | undefined;
  readonly stdio: GuestStdio;
  /** A new root, or the pid of the first process of the container to join. */
  readonly root: ContainerRoot | number;
  readonly namespaces: ContainerNamespaces;
  /** The pod's user namespace, if the container is in it. */
  readonly pod: PodDescriptors | undefined;
  /** Descriptor of the cgroup's directory. */
  readonly cgroup: number;
  /** `new`, or a descriptor of the PID namespace that the process starts in. */
  readonly pidNamespace: "new" | number;
  /** Called when the process has ended, before its output is closed. Kills what must not outlive the process. */
  readonly onEnd: () => Survivors;
  /** Moves a process into the cgroup: one that has as many as it may takes no other way. Absent: it is a failure then. */
  readonly join?: (pid: number) => void;
  /** It enters its cgroup when it is ready: what is done until then takes none of the time that the cgroup has. */
  readonly joinsLate?: boolean;
  /** Called when the process is ready to be started. Throws why it may not be. */
  readonly onReady?: () => void;
  /** Told of the process as soon as it is there, and long before it is ready where its files are slow. */
  readonly made?: (process: ContainerProcess) => void;
}

export class ContainerProcess {
  readonly pid: number;
  readonly stdio: ProcessStdio;
  private readonly context: AgentContext;
  private readonly launch: Launch;
  private readonly exit = deferred<number>();
  private readonly ended = deferred<void>();
  private phase: ProcessState = "created";
  private shown = 0;
  private isGone = false;

  private constructor(context: AgentContext, { launch, stdio, onEnd }: Begun, pid: number) {
    this.context = context;
    this.launch = launch;
    this.stdio = stdio;
    this.pid = pid;
    context.reaper.onExit(pid, (status) => void this.end(status, onEnd));
  }

  /** Makes a process that is ready to be started. Throws why it could not be made; then nothing is left. */
  static async create(context: AgentContext, plan: ProcessPlan): Promise<ContainerProcess> {
    const begun = begin(context, plan);
    const process = new ContainerProcess(context, begun, begun.pid ?? (await pidOf(context, begun)));
    plan.made?.(process);
    try {
      const enter = (): void => plan.join?.(process.pid);
      if (begun.isOutside && plan.joinsLate !== true) enter();
      // the agent is protected from the guest's out-of-memory killer; its children must not inherit that
      const score = String(plan.process.oomScoreAdj ?? 0);
      sys.writeFile(`/proc/${process.pid}/oom_score_adj`, score, sys.O_WRONLY);
      const master = await begun.launch.ready;
      // its end is the streams' from here on
      if (plan.process.terminal) process.stdio.connect(master);
      if (begun.isOutside && plan.joinsLate === true) enter();
      plan.onReady?.();
      return process;
    } catch (error) {
      await process.discard();
      throw error;
    }
  }

  get state(): ProcessState {
    return this.phase;
  }

  /** The status that a shell would show; 0 until the process has exited. */
  get status(): number {
    return this.shown;
  }

  /** The {@link status}; resolves once the process has ended and its output has been handed over. */
  get exited(): Promise<number> {
    return this.exit.promise;
  }

  /** Lets the process execute its command. Throws IllegalTransition, or why the command could not be executed. */
  async start(): Promise<void> {
    if (this.phase !== "created" || this.isGone) {
      throw blazarError(
        "IllegalTransition",
        "start a process",
        this.phase === "running" ? "the process is running already" : "the process has ended",
      );
    }
    this.phase = "running";
    await this.launch.start();
  }

  /** Sends a signal. Throws ProcessNotFound once the process has ended. */
  signal(signal: number): void {
    const result = this.isGone ? -sys.ESRCH : sys.kill(this.pid, signal);
    if (result === -sys.ESRCH) {
      throw blazarError("ProcessNotFound", `send signal ${signal}`, "the process has ended", {
        subject: `pid ${this.pid}`,
      });
    }
    check(result, `send signal ${signal}`, `pid ${this.pid}`);
  }

  /** Kills the process and closes its streams; resolves when it has been reaped. */
  async discard(): Promise<void> {
    if (!this.isGone) sys.kill(this.pid, sys.SIGKILL);
    this.launch.abandon();
    await this.ended.promise;
    this.stdio.close();
  }

  private async end(status: ExitStatus, onEnd: () => Survivors): Promise<void> {
    this.isGone = true;
    this.ended.resolve();
    this.launch.settle();
    const survivors = onEnd();
    // in the next pass, so that a start that has just succeeded is answered first
    await nextPass(this.context.loop);
    try {
      if (survivors === "killed") await this.stdio.finish();
      else this.stdio.drain(survivors.drainMs);
    } catch (error) {
      this.context.logger.warn("the last output of a process could not be read", { pid: this.pid, error });
    }
    this.phase = "exited";
    this.shown = shellStatus(status);
    this.exit.resolve(this.shown);
  }
}

/** A process that was cloned, or is going to be. */
interface Born {
  /** Undefined where a prepared child makes the process, which then reports its pid itself. */
  readonly pid: number | undefined;
  /** It is not in its cgroup yet. */
  readonly isOutside: boolean;
}

const LATER: Born = { pid: undefined, isOutside: false };

/** A process that is being made. */
interface Begun extends Born {
  readonly launch: Launch;
  readonly stdio: ProcessStdio;
  readonly onEnd: () => Survivors;
}

/** Begins to make the process: the prepared child does it, or a clone of the agent. Throws, leaving nothing. */
function begin(context: AgentContext, plan: ProcessPlan): Begun {
  const [childSocket, socket] = Launch.pair();
  const launch = new Launch(context.loop, socket);
  const stdio = new ProcessStdio(context.loop, context.peer, plan.stdio, plan.process.terminal);
  try {
    stdio.open();
    const born = beginChild(context, plan, stdio.childEnds, childSocket);
    stdio.closeChildEnds();
    // meanwhile the child is busy, mostly with waiting for the share
    if (!plan.process.terminal) stdio.connect(NO_TERMINAL);
    return { launch, stdio, onEnd: plan.onEnd, ...born };
  } catch (error) {
    launch.abandon();
    stdio.close();
    throw error;
  } finally {
    sys.close(childSocket);
  }
}

/** Has the child made. Throws. */
function beginChild(
  context: AgentContext,
  plan: ProcessPlan,
  stdio: readonly number[],
  launch: number,
): Born {
  const { onEnd: _, root, ...more } = plan;
  if (typeof root === "number") return cloneAgent(plan, stdio, launch);
  const first: FirstProcess = { ...more, root, stdio, launch };
  if (context.children.give(first)) return LATER;
  if (plan.pod === undefined) return cloneAgent(plan, stdio, launch);
  const between = cloneChild({}, () => becomeFirstProcess(first, undefined));
  context.reaper.onExit(between, () => undefined);
  return LATER;
}

/** The pid of a process that a prepared child makes. Throws why there will be none; then nothing is left. */
async function pidOf(context: AgentContext, { launch, stdio }: Begun): Promise<number> {
  try {
    await launch.ready;
    return checkedPid(launch.pid);
  } catch (error) {
    // it ends by itself and has to be reaped
    if (launch.pid !== undefined) context.reaper.onExit(launch.pid, () => undefined);
    launch.abandon();
    stdio.close();
    throw error;
  }
}

function checkedPid(pid: number | undefined): number {
  if (pid !== undefined) return pid;
  throw blazarError("Internal", "make a process", "the child did not report its pid");
}

/** Clones the agent into the plan's namespaces. A PID namespace that exists has to be chosen before the clone. */
function cloneAgent(plan: ProcessPlan, stdio: readonly number[], launch: number): Born {
  const flags =
    (typeof plan.root === "number" ? 0 : sys.CLONE_NEWNS) |
    (plan.pidNamespace === "new" ? sys.CLONE_NEWPID : 0);
  const child = (): number => runChild({ ...plan, stdio, launch });
  if (plan.pidNamespace === "new") return cloneInto(plan, flags, child);
  const own = check(sys.open("/proc/self/ns/pid", sys.O_RDONLY), "open the agent's PID namespace");
  try {
    // for PID namespaces, setns(2) changes where children start, not where the caller is
    check(sys.setns(plan.pidNamespace, sys.CLONE_NEWPID), "enter a PID namespace");
    return cloneInto(plan, flags, child);
  } catch (cause) {
    throw birthError(cause);
  } finally {
    sys.setns(own, sys.CLONE_NEWPID);
    sys.close(own);
  }
}

function cloneInto({ cgroup, join, joinsLate }: ProcessPlan, flags: number, child: () => number): Born {
  if (joinsLate === true) return { pid: cloneChild({ flags }, child), isOutside: true };
  try {
    return { pid: cloneChild({ flags, cgroupFd: cgroup }, child), isOutside: false };
  } catch (cause) {
    // pids.max holds for clone(2) and not for a process that is moved (cgroup-v2.rst), as runc moves it
    if (join === undefined || errnoOf(cause) !== sys.EAGAIN) throw cause;
    return { pid: cloneChild({ flags }, child), isOutside: true };
  }
}
