/**
 * Processes in the guest itself, outside of all containers: what an operator runs to look around.
 *
 * They have the agent's own root and namespaces, and the programs of the built-in root. Each has a cgroup of its own and is killed
 * with everything that it has started when it ends. None outlives the link: whoever has asked for it is gone then.
 */
import * as sys from "sys";
import { check } from "../../../native/runtime/check.ts";
import { blazarError } from "../../../src/contracts/errors.ts";
import {
  GUEST_ITSELF,
  type PidResult,
  type ProcessExec,
  type ProcessExited,
} from "../../../src/protocol/guest/messages.ts";
import { Cgroup } from "../container/cgroup.ts";
import { emptyCgroup } from "../container/container.ts";
import type { AgentContext } from "../context.ts";
import { CGROUPS } from "../guest-paths.ts";
import { checkedProcess } from "./command.ts";
import { ContainerProcess, KILLED } from "./process.ts";

/** At once. */
const MOST_SHELLS = 8;
/** No container's id: an id starts with a letter or a digit. A number follows. */
const CGROUP = `${CGROUPS}/.shell-`;
/** Of one shell, so that it cannot take all of the guest's. */
const LIMITS = { "pids.max": "256" } as const;
const TERMINALS = "/dev/pts";

interface Shell {
  process: ContainerProcess | undefined;
  readonly cgroup: Cgroup;
}

export class Shells {
  private readonly context: AgentContext;
  private readonly exited: (event: ProcessExited) => void;
  private readonly shells = new Map<string, Shell>();
  private count = 0;
  private hasTerminals = false;

  constructor(context: AgentContext, exited: (event: ProcessExited) => void) {
    this.context = context;
    this.exited = exited;
  }

  /** Starts a process. Throws ProcessExists, ResourceExhausted, or why it could not be executed. */
  async exec({ execId, process, stdio }: ProcessExec): Promise<PidResult> {
    if (execId === "" || this.shells.has(execId)) throw refused("ProcessExists", "there is one with this id");
    if (this.shells.size >= MOST_SHELLS)
      throw refused("ResourceExhausted", `there are ${MOST_SHELLS} already`);
    if (process.terminal) this.mountTerminals();
    const cgroup = Cgroup.make(`${CGROUP}${this.count++}`);
    const shell: Shell = { process: undefined, cgroup };
    this.shells.set(execId, shell);
    try {
      cgroup.configure(LIMITS);
      const made = await this.make(shell, { process: checkedProcess(process), stdio });
      void made.exited.then((status) => this.exited({ id: GUEST_ITSELF, execId, status, returned: [] }));
      return { pid: made.pid };
    } catch (error) {
      this.shells.delete(execId);
      await emptyCgroup(this.context, cgroup);
      throw error;
    }
  }

  /** Throws ProcessNotFound. */
  signal(execId: string, signal: number): void {
    this.shell(execId).process?.signal(signal);
  }

  /** Throws ProcessNotFound, InvalidArgument. */
  resize(execId: string, rows: number, columns: number): void {
    this.shell(execId).process?.stdio.resize(rows, columns);
  }

  /** Kills one and forgets it; one that is not there is gone. */
  async end(execId: string): Promise<void> {
    const shell = this.shells.get(execId);
    if (shell === undefined) return;
    this.shells.delete(execId);
    shell.cgroup.kill();
    await shell.process?.discard();
    await emptyCgroup(this.context, shell.cgroup);
  }

  /** The host is gone. */
  endAll(): void {
    for (const execId of this.shells.keys()) void this.end(execId);
  }

  private async make(shell: Shell, { process, stdio }: Pick<ProcessExec, "process" | "stdio">) {
    const pidNamespace = check(sys.open("/proc/self/ns/pid", sys.O_RDONLY), "open the agent's PID namespace");
    try {
      const made = await ContainerProcess.create(this.context, {
        ...{ process, stdio, seccomp: undefined, pod: undefined },
        root: sys.getpid(),
        namespaces: { own: [], hostname: "", domainname: "", maps: undefined },
        cgroup: shell.cgroup.descriptor,
        pidNamespace,
        onEnd: () => {
          shell.cgroup.kill();
          return KILLED;
        },
        made: (early) => {
          shell.process = early;
        },
      });
      await made.start();
      return made;
    } catch (error) {
      await shell.process?.discard();
      throw error;
    } finally {
      sys.close(pidNamespace);
    }
  }

  private shell(execId: string): Shell {
    const shell = this.shells.get(execId);
    if (shell !== undefined) return shell;
    throw refused("ProcessNotFound", "there is none with this id");
  }

  /** Containers have terminals of their own; the guest itself has none until somebody wants one. */
  private mountTerminals(): void {
    if (this.hasTerminals) return;
    const made = sys.mkdir(TERMINALS, 0o755);
    if (made !== -sys.EEXIST) check(made, "make a directory", TERMINALS);
    const flags = sys.MS_NOSUID | sys.MS_NOEXEC;
    check(sys.mount("devpts", TERMINALS, "devpts", flags, "mode=620,ptmxmode=666"), "mount", TERMINALS);
    this.hasTerminals = true;
  }
}

function refused(code: "ProcessExists" | "ProcessNotFound" | "ResourceExhausted", reason: string) {
  return blazarError(code, "run a process in the guest itself", reason);
}
