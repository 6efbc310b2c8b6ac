/**
 * One process of a container, from its fork to the moment it is forgotten: the init process and execs alike.
 *
 * `created` waits for its start, `running` has been executed, `exited` has a status and has handed over its
 * output. Whatever happens, `exited` comes once and last.
 */
import * as sys from "sys";
import { check } from "../../../native/runtime/check.ts";
import { cloneChild, type ExitStatus, shellStatus } from "../../../native/runtime/child.ts";
import { deferred, nextPass } from "../../../native/runtime/promises.ts";
import { blazarError } from "../../../src/contracts/errors.ts";
import type { GuestProcess, GuestStdio } from "../../../src/protocol/guest/messages.ts";
import type { AgentContext } from "../context.ts";
import type { ContainerRoot } from "../root/enter-root.ts";
import { Launch } from "./launch.ts";
import { birthError, runChild } from "./process-child.ts";
import { ProcessStdio } from "./stdio.ts";

export type ProcessState = "created" | "running" | "exited";

const NO_TERMINAL = -1;

export interface ProcessPlan {
  readonly process: GuestProcess;
  readonly stdio: GuestStdio;
  /** A new root, or the pid of the first process of the container to join. */
  readonly root: ContainerRoot | number;
  /** Descriptor of the cgroup's directory. */
  readonly cgroup: number;
  /** `new`, or a descriptor of the PID namespace to be born in. */
  readonly pidNamespace: "new" | number;
  /** Called when it has ended, before its output ends: kills what must not outlive it, true if nothing can. */
  readonly onEnd: () => boolean;
}

export class ContainerProcess {
  readonly pid: number;
  readonly stdio: ProcessStdio;
  private readonly context: AgentContext;
  private readonly launch: Launch;
  private readonly exit = deferred<number>();
  private readonly ended = deferred<void>();
  private phase: ProcessState = "created";
  private isGone = false;

  private constructor(context: AgentContext, { launch, stdio, onEnd }: Begun, pid: number) {
    this.context = context;
    this.launch = launch;
    this.stdio = stdio;
    this.pid = pid;
    context.reaper.onExit(pid, (status) => void this.end(status, onEnd));
  }

  /** Waits until the process's child has set itself up. Throws its reason if it could not; then nothing is left. */
  static async create(context: AgentContext, plan: ProcessPlan): Promise<ContainerProcess> {
    const begun = begin(context, plan);
    const process = new ContainerProcess(context, begun, begun.pid ?? (await pidOf(context, begun)));
    try {
      // the agent itself is protected from the guest's out-of-memory killer; what it starts must not inherit that
      const score = String(plan.process.oomScoreAdj ?? 0);
      sys.writeFile(`/proc/${process.pid}/oom_score_adj`, score, sys.O_WRONLY);
      const master = await begun.launch.ready;
      if (plan.process.terminal) process.stdio.connect(master);
      return process;
    } catch (error) {
      await process.discard();
      throw error;
    }
  }

  get state(): ProcessState {
    return this.phase;
  }

  /** The status a shell would show, once it has ended and its output has been handed over. */
  get exited(): Promise<number> {
    return this.exit.promise;
  }

  /** Lets it go on to its execve(2). Throws IllegalTransition, or why it could not be executed. */
  async start(): Promise<void> {
    if (this.phase !== "created" || this.isGone) {
      throw blazarError(
        "IllegalTransition",
        "start a process",
        this.phase === "running" ? "it runs already" : "it has ended",
      );
    }
    this.phase = "running";
    await this.launch.start();
  }

  /** Throws ProcessNotFound once it has ended. */
  signal(signal: number): void {
    const result = this.isGone ? -sys.ESRCH : sys.kill(this.pid, signal);
    if (result === -sys.ESRCH) {
      throw blazarError("ProcessNotFound", `send signal ${signal}`, "the process has ended", {
        subject: `pid ${this.pid}`,
      });
    }
    check(result, `send signal ${signal}`, `pid ${this.pid}`);
  }

  /** Kills it and forgets its streams; resolves when it is reaped. */
  async discard(): Promise<void> {
    if (!this.isGone) sys.kill(this.pid, sys.SIGKILL);
    this.launch.abandon();
    await this.ended.promise;
    this.stdio.close();
  }

  private async end(status: ExitStatus, onEnd: () => boolean): Promise<void> {
    this.isGone = true;
    this.ended.resolve();
    this.launch.settle();
    const alone = onEnd();
    // a start that has just succeeded is answered first
    await nextPass(this.context.loop);
    try {
      await this.stdio.finish(alone);
    } catch (error) {
      this.context.logger.warn("the output of a process could not be finished", { pid: this.pid, error });
    }
    this.phase = "exited";
    this.exit.resolve(shellStatus(status));
  }
}

/** A process that is being made. */
interface Begun {
  readonly launch: Launch;
  readonly stdio: ProcessStdio;
  readonly onEnd: () => boolean;
  /** Undefined where it is made by a prepared child, and tells its pid itself. */
  readonly pid: number | undefined;
}

/** Has the process made, by the child that waits for it or by a fork. Throws, leaving nothing. */
function begin(context: AgentContext, plan: ProcessPlan): Begun {
  const [childSocket, socket] = Launch.pair();
  const launch = new Launch(context.loop, socket);
  const stdio = new ProcessStdio(context.loop, context.peer, plan.stdio, plan.process.terminal);
  try {
    stdio.open();
    const ordered = order(context, plan, stdio.childEnds, childSocket);
    const pid = ordered ? undefined : fork(plan, stdio.childEnds, childSocket);
    stdio.closeChildEnds();
    // while the child is busy, mostly with waiting for the share
    if (!plan.process.terminal) stdio.connect(NO_TERMINAL);
    return { launch, stdio, onEnd: plan.onEnd, pid };
  } catch (error) {
    launch.abandon();
    stdio.close();
    throw error;
  } finally {
    sys.close(childSocket);
  }
}

function order(context: AgentContext, plan: ProcessPlan, stdio: readonly number[], launch: number): boolean {
  const { process, root, cgroup, pidNamespace } = plan;
  if (typeof root === "number") return false;
  return context.children.give({ process, root, stdio, launch, cgroup, pidNamespace });
}

/** The pid of a process that a prepared child makes. Throws why there will be none; then nothing is left. */
async function pidOf(context: AgentContext, { launch, stdio }: Begun): Promise<number> {
  try {
    await launch.ready;
    return checkedPid(launch.pid);
  } catch (error) {
    // it ends by itself
    if (launch.pid !== undefined) context.reaper.onExit(launch.pid, () => undefined);
    launch.abandon();
    stdio.close();
    throw error;
  }
}

function checkedPid(pid: number | undefined): number {
  if (pid !== undefined) return pid;
  throw blazarError("Internal", "make a process", "it has not told its pid");
}

/** Forks into the plan's namespaces; only the PID namespace has to be chosen before. */
function fork(plan: ProcessPlan, stdio: readonly number[], launch: number): number {
  const flags =
    (typeof plan.root === "number" ? 0 : sys.CLONE_NEWNS) |
    (plan.pidNamespace === "new" ? sys.CLONE_NEWPID : 0);
  const child = (): number => runChild({ process: plan.process, root: plan.root, stdio, launch });
  const options = { flags, cgroupFd: plan.cgroup };
  if (plan.pidNamespace === "new") return cloneChild(options, child);
  const own = check(sys.open("/proc/self/ns/pid", sys.O_RDONLY), "open the agent's PID namespace");
  try {
    // setns(2) decides where children are born, not where the caller is
    check(sys.setns(plan.pidNamespace, sys.CLONE_NEWPID), "enter a PID namespace");
    return cloneChild(options, child);
  } catch (cause) {
    throw birthError(cause);
  } finally {
    sys.setns(own, sys.CLONE_NEWPID);
    sys.close(own);
  }
}
