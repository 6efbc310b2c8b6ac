/**
 * The task port without guests: containers and their processes are in a Map.
 *
 * A test ends a process by `end` and makes a method fail by `failWith`.
 */
import { readCgroupStats } from "../../../src/actors/guest/cgroup-stats.ts";
import { blazarError } from "../../../src/contracts/errors.ts";
import type { CgroupStats } from "../../../src/contracts/stats.ts";
import type {
  ProcessState,
  TaskCreateRequest,
  TaskExecRequest,
  TaskService,
} from "../../../src/contracts/task.ts";
import { abortable, type Deferred, deferred } from "../../../src/lib/async.ts";

interface Exit {
  exitStatus: number;
  exitedAt: Date;
}

interface FakeProcess {
  state: ProcessState;
  ended: Deferred<Exit>;
}

export class FakeTaskService implements TaskService {
  readonly created: TaskCreateRequest[] = [];
  readonly execs: TaskExecRequest[] = [];
  /** Calls that change something and answer nothing: `kill c1 e1 9 true`, … */
  readonly calls: string[] = [];
  /** Files of every container's cgroup. */
  readonly statistics: Record<string, string> = {};
  /** How many waits are pending. */
  waiting = 0;
  private readonly processes = new Map<string, FakeProcess>();
  private readonly failures = new Map<string, unknown>();
  private nextPid = 1000;

  sandboxOf(id: string): string | undefined {
    return this.created.find((each) => each.id === id)?.sandboxId;
  }

  failWith(method: keyof TaskService, error: unknown): void {
    this.failures.set(method, error);
  }

  end(id: string, execId: string, exitStatus: number, exitedAt = new Date()): void {
    const found = this.get(id, execId);
    Object.assign(found.state, { status: "stopped", exitStatus, exitedAt });
    found.ended.resolve({ exitStatus, exitedAt });
  }

  async create(request: TaskCreateRequest): Promise<{ pid: number }> {
    this.maybeFail("create");
    this.created.push(request);
    return { pid: this.add(request.id, "", request, request.bundle) };
  }

  async start(id: string, execId: string): Promise<{ pid: number }> {
    this.maybeFail("start");
    const { state } = this.get(id, execId);
    state.status = "running";
    return { pid: state.pid };
  }

  async exec(id: string, execId: string, request: TaskExecRequest): Promise<void> {
    this.maybeFail("exec");
    this.execs.push(request);
    this.add(id, execId, request, this.get(id, "").state.bundle);
  }

  state(id: string, execId: string): ProcessState {
    this.maybeFail("state");
    return this.get(id, execId).state;
  }

  async wait(id: string, execId: string, signal?: AbortSignal): Promise<Exit> {
    this.maybeFail("wait");
    this.waiting++;
    try {
      const what = { operation: "wait for the process", subject: key(id, execId) };
      return await abortable(this.get(id, execId).ended.promise, signal, what);
    } finally {
      this.waiting--;
    }
  }

  async kill(id: string, execId: string, signal: number, all: boolean): Promise<void> {
    this.record("kill", id, execId, signal, all);
  }

  async delete(id: string, execId: string): Promise<Exit & { pid: number }> {
    this.maybeFail("delete");
    const { state } = this.get(id, execId);
    this.processes.delete(key(id, execId));
    return { pid: state.pid, exitStatus: state.exitStatus, exitedAt: state.exitedAt ?? new Date(0) };
  }

  async pids(id: string): Promise<{ pid: number; execId: string }[]> {
    this.maybeFail("pids");
    const all = [...this.processes.values()].map(({ state }) => state);
    return all.filter((state) => state.id === id).map(({ pid, execId }) => ({ pid, execId }));
  }

  async stats(id: string): Promise<CgroupStats> {
    this.maybeFail("stats");
    this.get(id, "");
    return readCgroupStats(this.statistics);
  }

  async update(id: string, resources: unknown): Promise<void> {
    this.record("update", id, "", JSON.stringify(resources));
  }

  async pause(id: string): Promise<void> {
    this.record("pause", id, "");
  }

  async resume(id: string): Promise<void> {
    this.record("resume", id, "");
  }

  async closeIO(id: string, execId: string): Promise<void> {
    this.record("closeIO", id, execId);
  }

  async resizePty(id: string, execId: string, width: number, height: number): Promise<void> {
    this.record("resizePty", id, execId, width, height);
  }

  connect(id: string): { taskPid: number; version: string } {
    this.maybeFail("connect");
    return { taskPid: this.get(id, "").state.pid, version: "3" };
  }

  shutdown(id: string): void {
    this.calls.push(`shutdown ${id}`);
  }

  private record(method: keyof TaskService, id: string, execId: string, ...rest: unknown[]): void {
    this.maybeFail(method);
    this.get(id, execId);
    this.calls.push([method, id, execId, ...rest].join(" "));
  }

  private add(id: string, execId: string, io: Omit<TaskExecRequest, "process">, bundle: string): number {
    const pid = this.nextPid++;
    const { stdin, stdout, stderr, terminal } = io;
    const state: ProcessState = {
      id,
      execId,
      pid,
      bundle,
      stdin,
      stdout,
      stderr,
      terminal,
      status: "created",
      exitStatus: 0,
    };
    this.processes.set(key(id, execId), { state, ended: deferred() });
    return pid;
  }

  private get(id: string, execId: string): FakeProcess {
    const found = this.processes.get(key(id, execId));
    if (found !== undefined) return found;
    const code = execId === "" ? "ContainerNotFound" : "ProcessNotFound";
    throw blazarError(code, "find the process", "there is none", { subject: key(id, execId) });
  }

  private maybeFail(method: keyof TaskService): void {
    if (this.failures.has(method)) throw this.failures.get(method);
  }
}

function key(id: string, execId: string): string {
  return `${id}/${execId}`;
}
