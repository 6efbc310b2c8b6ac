/**
 * The containers of the sandbox and their processes: create, start, exec, signal, delete.
 *
 * A container's root, cgroup and first process come and go together. Its id is taken from the start of its creation to
 * the end of its deletion. So requests that overlap find either a whole container or none.
 */

import { deferred } from "../../../native/runtime/promises.ts";
import { blazarError } from "../../../src/contracts/errors.ts";
import type { SandboxInventory } from "../../../src/protocol/guest/inventory.ts";
import type {
  ContainerCreate,
  PidResult,
  PidsResult,
  ProcessExec,
  ProcessExited,
  ProcessSignal,
} from "../../../src/protocol/guest/messages.ts";
import type { MarkStep } from "../../../src/protocol/wire/request-steps.ts";
import type { AgentContext } from "../context.ts";
import { checkedId } from "../path-checks.ts";
import type { ContainerProcess } from "../process/process.ts";
import type { Sandbox } from "../sandbox/sandbox.ts";
import { Container } from "./container.ts";

/** More signals than a daemon can have under way when it dies. */
const MAX_TOKENS = 256;

/** A container's id; `settled` resolves when the creation has succeeded or failed. */
interface Entry {
  container: Container | undefined;
  readonly settled: Promise<void>;
}

/** What the host is told of containers. */
export interface ContainerEvents {
  exited(event: ProcessExited): void;
  /** The kernel has killed processes of the container for want of memory. */
  oomKilled(id: string): void;
}

export class Containers {
  private readonly context: AgentContext;
  private readonly sandbox: Sandbox;
  private readonly events: ContainerEvents;
  private readonly entries = new Map<string, Entry>();
  /** Tokens of signals that were sent, oldest first. */
  private readonly signalled = new Set<string>();

  constructor(context: AgentContext, sandbox: Sandbox, events: ContainerEvents) {
    this.context = context;
    this.sandbox = sandbox;
    this.events = events;
  }

  get count(): number {
    return this.entries.size;
  }

  async create(params: ContainerCreate, mark: MarkStep): Promise<PidResult> {
    const id = checkedId(params.id);
    if (this.entries.has(id)) {
      throw blazarError("ContainerExists", "create a container", "a container has this id already", {
        subject: id,
      });
    }
    const settled = deferred<void>();
    const entry: Entry = { container: undefined, settled: settled.promise };
    this.entries.set(id, entry);
    try {
      const container = await Container.create(this.context, params, {
        sandbox: this.sandbox.environment(),
        userNamespace: this.sandbox.userNamespace(params.userNamespace),
        pidNamespace: this.pidNamespace(params),
        onOom: () => this.events.oomKilled(id),
        mark,
      });
      entry.container = container;
      this.report(container, "", container.init);
      return { pid: container.init.pid };
    } catch (error) {
      this.entries.delete(id);
      throw error;
    } finally {
      settled.resolve();
    }
  }

  async delete(id: string): Promise<void> {
    await this.entries.get(id)?.settled;
    const container = this.container(id);
    await container.delete();
    this.entries.delete(id);
  }

  pids(id: string): PidsResult {
    return this.container(id).pids();
  }

  update(id: string, files: Readonly<Record<string, string>>): void {
    this.container(id).update(files);
  }

  stats(id: string): { files: Record<string, string> } {
    return { files: this.container(id).stats() };
  }

  /** Freezes the container, or lets it go on. */
  async freeze(id: string, frozen: boolean): Promise<void> {
    await this.container(id).freeze(frozen);
  }

  async start(id: string, execId: string): Promise<PidResult> {
    const process = this.process(id, execId);
    await process.start();
    return { pid: process.pid };
  }

  async exec(params: ProcessExec): Promise<PidResult> {
    const container = this.container(params.id);
    const process = await container.exec(params);
    this.report(container, params.execId, process);
    return { pid: process.pid };
  }

  async deleteProcess(id: string, execId: string): Promise<void> {
    if (execId === "") {
      throw blazarError(
        "InvalidArgument",
        "delete a process",
        "the first process is deleted with its container",
        { subject: id },
      );
    }
    const process = this.process(id, execId);
    if (process.state !== "exited") {
      throw blazarError("IllegalTransition", "delete a process", "the process is still running", {
        subject: `${id}/${execId}`,
      });
    }
    process.stdio.close();
    this.container(id).execs.delete(execId);
  }

  async abandonExec(id: string, execId: string): Promise<void> {
    await this.container(id).abandonExec(execId);
  }

  signal({ id, execId, signal, all, token }: ProcessSignal): void {
    if (token !== undefined && this.signalled.has(token)) return;
    if (all) this.container(id).signalAll(signal);
    else this.process(id, execId).signal(signal);
    if (token !== undefined) this.remember(token);
  }

  /** For a daemon that takes the guest over. A container that is being made has no process yet. */
  async inventory(): Promise<SandboxInventory> {
    await Promise.all([...this.entries.values()].map(({ container }) => container?.settled()));
    const containers = [...this.entries].map(([id, { container }]) => {
      if (container === undefined)
        return { id, paused: false, oomKilled: false, processes: [], returned: [] };
      const returned = container.init.state === "exited" ? this.returnedBy(container) : [];
      return { ...container.inventory(), returned };
    });
    return { containers };
  }

  resize(id: string, execId: string, rows: number, columns: number): void {
    this.process(id, execId).stdio.resize(rows, columns);
  }

  /** Deletes every container. */
  async deleteAll(): Promise<void> {
    const ids = [...this.entries.keys()];
    await Promise.all(
      ids.map((id) =>
        this.delete(id).catch((error: unknown) => {
          this.context.logger.warn("a container could not be deleted", { container: id, error });
        }),
      ),
    );
  }

  private remember(token: string): void {
    this.signalled.add(token);
    const [oldest] = this.signalled;
    if (this.signalled.size > MAX_TOKENS && oldest !== undefined) this.signalled.delete(oldest);
  }

  private container(id: string): Container {
    const container = this.entries.get(id)?.container;
    if (container !== undefined) return container;
    throw blazarError("ContainerNotFound", "find a container", "no container has this id", {
      subject: id.slice(0, 128),
    });
  }

  private process(id: string, execId: string): ContainerProcess {
    const container = this.container(id);
    if (execId === "") return container.init;
    const process = container.execs.get(execId);
    if (process !== undefined) return process;
    throw blazarError("ProcessNotFound", "find a process", "the container has no process with this id", {
      subject: `${id}/${execId.slice(0, 128)}`,
    });
  }

  private report(container: Container, execId: string, process: ContainerProcess): void {
    const { id } = container;
    void process.exited.then((status) => {
      container.oom.check();
      const returned = execId === "" ? this.returnedBy(container) : [];
      this.events.exited({ id, execId, status, returned });
    });
  }

  /** What is empty does not go back: the host's is empty already. */
  private returnedBy({ returned }: Container): ProcessExited["returned"] {
    return returned
      .map((name) => ({ name, content: this.context.volumes.tail(name) }))
      .filter(({ content }) => content !== "");
  }

  /** The PID namespace that a new container starts in; the caller closes the descriptor. */
  private pidNamespace(params: ContainerCreate): "new" | number {
    if (params.pidNamespace === "container") return "new";
    if (params.pidNamespace === "sandbox") return this.sandbox.openPidNamespace();
    return this.container(params.pidTarget).openPidNamespace();
  }
}
