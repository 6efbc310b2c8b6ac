/**
 * The containers of the sandbox and their processes: create, start, exec, signal, delete.
 *
 * A container is its mounted root, its cgroup and its first process; all come and go together. Ids are taken
 * from the first word of a create to the last of a delete, so that requests that cross each other find either
 * all of a container or nothing.
 */
import { BlazarError } from "../../src/contracts/errors.ts";
import type {
  ContainerCreate,
  PidResult,
  ProcessExec,
  ProcessExited,
  ProcessSignal,
} from "../../src/protocol/guest-messages.ts";
import { Container } from "./container.ts";
import type { AgentContext } from "./context.ts";
import { deferred } from "./deferred.ts";
import { checkedId } from "./names.ts";
import type { ContainerProcess } from "./process.ts";
import type { Sandbox } from "./sandbox.ts";

/** An id that is being made or unmade; `settled` resolves when it is one or the other. */
interface Entry {
  container: Container | undefined;
  readonly settled: Promise<void>;
}

export class Containers {
  readonly #context: AgentContext;
  readonly #sandbox: Sandbox;
  readonly #exited: (event: ProcessExited) => void;
  readonly #entries = new Map<string, Entry>();

  constructor(context: AgentContext, sandbox: Sandbox, exited: (event: ProcessExited) => void) {
    this.#context = context;
    this.#sandbox = sandbox;
    this.#exited = exited;
  }

  get count(): number {
    return this.#entries.size;
  }

  async create(params: ContainerCreate): Promise<PidResult> {
    const id = checkedId(params.id);
    if (this.#entries.has(id)) {
      throw new BlazarError("ContainerExists", {
        operation: "create a container",
        subject: id,
        reason: "there is one with this id",
      });
    }
    const settled = deferred<void>();
    const entry: Entry = { container: undefined, settled: settled.promise };
    this.#entries.set(id, entry);
    try {
      const container = await Container.create(this.#context, params, {
        sandbox: this.#sandbox.environment(),
        pidNamespace: this.#pidNamespace(params),
      });
      entry.container = container;
      this.#report(container.id, "", container.init, () => container.oomKilled());
      return { pid: container.init.pid };
    } catch (error) {
      this.#entries.delete(id);
      throw error;
    } finally {
      settled.resolve();
    }
  }

  async delete(id: string): Promise<void> {
    await this.#entries.get(id)?.settled;
    const container = this.#container(id);
    await container.delete();
    this.#entries.delete(id);
  }

  pids(id: string): { pids: number[] } {
    return { pids: this.#container(id).pids() };
  }

  async start(id: string, execId: string): Promise<PidResult> {
    const process = this.#process(id, execId);
    await process.start();
    return { pid: process.pid };
  }

  async exec(params: ProcessExec): Promise<PidResult> {
    const container = this.#container(params.id);
    const process = await container.exec(params);
    this.#report(params.id, params.execId, process, () => container.oomKilled());
    return { pid: process.pid };
  }

  async deleteProcess(id: string, execId: string): Promise<void> {
    if (execId === "") {
      throw new BlazarError("InvalidArgument", {
        operation: "forget a process",
        subject: id,
        reason: "the first process is forgotten with its container",
      });
    }
    const process = this.#process(id, execId);
    if (process.state !== "exited") {
      throw new BlazarError("IllegalTransition", {
        operation: "forget a process",
        subject: `${id}/${execId}`,
        reason: "it still runs",
      });
    }
    process.stdio.close();
    this.#container(id).execs.delete(execId);
  }

  signal({ id, execId, signal, all }: ProcessSignal): void {
    if (!all) return this.#process(id, execId).signal(signal);
    this.#container(id).signalAll(signal);
  }

  resize(id: string, execId: string, rows: number, columns: number): void {
    this.#process(id, execId).stdio.resize(rows, columns);
  }

  /** Ends and forgets every container. */
  async deleteAll(): Promise<void> {
    const ids = [...this.#entries.keys()];
    await Promise.all(
      ids.map((id) =>
        this.delete(id).catch((error: unknown) => {
          this.#context.logger.warn("a container could not be deleted", { container: id, error });
        }),
      ),
    );
  }

  #container(id: string): Container {
    const container = this.#entries.get(id)?.container;
    if (container !== undefined) return container;
    throw new BlazarError("ContainerNotFound", {
      operation: "find a container",
      subject: id.slice(0, 128),
      reason: "there is none with this id",
    });
  }

  #process(id: string, execId: string): ContainerProcess {
    const container = this.#container(id);
    if (execId === "") return container.init;
    const process = container.execs.get(execId);
    if (process !== undefined) return process;
    throw new BlazarError("ProcessNotFound", {
      operation: "find a process",
      subject: `${id}/${execId.slice(0, 128)}`,
      reason: "there is none with this id",
    });
  }

  #report(id: string, execId: string, process: ContainerProcess, oomKilled: () => boolean): void {
    void process.exited.then((status) => {
      this.#exited({ id, execId, status, oomKilled: oomKilled() });
    });
  }

  /** The PID namespace a new container is born in. The descriptor belongs to the caller. */
  #pidNamespace(params: ContainerCreate): "new" | number {
    if (params.pidNamespace === "container") return "new";
    if (params.pidNamespace === "sandbox") return this.#sandbox.openPidNamespace();
    return this.#container(params.pidTarget).openPidNamespace();
  }
}
