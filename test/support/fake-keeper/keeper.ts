/**
 * A keeper in memory: the {@link Keeper} port with no process, no FIFO and no socket behind it.
 *
 * {@link FakeKeeperHost} outlives a daemon; each `connect()` is the client of one daemon's life. It passes the same
 * conformance suite as the real one, and moves on microtasks only: simulated clocks do not hold it up. It has the faults that
 * tests need: spawns and forks that fail, processes that end at will, readers that stall, a link that goes down.
 */
import { type BlazarError, blazarError } from "../../../src/contracts/errors.ts";
import type {
  Keeper,
  KeeperInventory,
  OutputStream,
  ProcessExit,
  ProcessFork,
  ProcessIdentity,
  ProcessSpawn,
  StartedProcess,
  StdioBinding,
  StdioHandlers,
  StdioPaths,
  TaskMessageHandler,
  UplinkSpec,
} from "../../../src/contracts/keeper.ts";
import { SIGKILL, SIGTERM } from "../../../src/lib/signals.ts";
import { FakeStdio } from "./stdio.ts";
import { FakeTaskConnection } from "./tasks.ts";

/** Where its taps are said to be; nothing is there. */
const PARKING = "/fake/parking";

interface FakeProcess {
  readonly id: string;
  /** What it was started from; a fork has its original's. */
  readonly spec: ProcessSpawn;
  readonly identity: ProcessIdentity;
  exit?: ProcessExit;
  readonly signals: number[];
  sealed: boolean;
  /** Its keeper has died: nobody knows how it ends. */
  orphaned?: boolean;
}

/** Hooks of a test. */
export interface FakeKeeperHooks {
  /** Called for each spawn, before the process exists: throw to make it fail, await to delay it. */
  onSpawn?: (spec: ProcessSpawn) => void | Promise<void>;
  /** Called for each fork, likewise. */
  onFork?: (request: ProcessFork) => void | Promise<void>;
  /** Called for each network that shall be watched: throw to make it fail. */
  onWatch?: (path: string) => void;
  /** What a new process does; undefined = runs until a signal or {@link FakeKeeperHost.exit}. */
  behaviour?: (spec: ProcessSpawn) => { code?: number; signal?: number } | undefined;
  /** Called for each signal; true = the process ignores it. By default TERM and KILL end it. */
  onSignal?: (id: string, signal: number) => boolean;
}

/** The part that outlives the daemons. */
export class FakeKeeperHost {
  readonly processes = new Map<string, FakeProcess>();
  readonly stdio = new Map<string, FakeStdio>();
  readonly tasks = new Map<number, FakeTaskConnection>();
  readonly uplinks = new Set<string>();
  /** Processes of a keeper that has died, by pid. */
  readonly orphans = new Map<number, ProcessSpawn>();
  /** Paths of the networks that are watched, by id; they end with the daemon. */
  readonly networks = new Map<string, { readonly path: string; readonly onChanged: () => void }>();
  ended = false;
  client: FakeKeeper | undefined;
  /** Grows with each keeper. */
  life = 1;
  private nextPid = 4_000_000;
  private nextConnection = 1;
  private taps = 0;

  constructor(readonly hooks: FakeKeeperHooks = {}) {}

  /** A daemon connects; the client of an earlier one is dead from now on. */
  connect(): FakeKeeper {
    this.client?.displaced();
    this.client = new FakeKeeper(this);
    return this.client;
  }

  /** Ends a process, as if by itself (code) or by somebody's signal. */
  exit(id: string, how: { code?: number; signal?: number } = {}): void {
    const process = this.processes.get(id);
    if (process === undefined || process.exit !== undefined) return;
    const signal = how.signal ?? 0;
    process.exit = process.orphaned
      ? { id, signal: 0, code: -1 }
      : { id, signal, code: signal === 0 ? (how.code ?? 0) : -1 };
    this.client?.reported(process.exit);
  }

  /**
   * The keeper dies, and another one takes its place, as soon as the daemon's link is up. It has adopted what still runs;
   * `ends` are the processes that have ended in between.
   */
  die(ends: readonly string[] = []): void {
    this.life++;
    for (const [id, process] of this.processes) {
      if (process.exit !== undefined) continue;
      Object.assign(process, { orphaned: true, spec: { ...process.spec, forkControl: undefined } });
      if (ends.includes(id)) this.exit(id);
    }
    const open = [...this.stdio.values()];
    this.stdio.clear();
    this.uplinks.clear();
    for (const connection of [...this.tasks.values()]) connection.close();
    for (const stdio of open) stdio.lost();
    this.client?.bereft();
  }

  /** Something has changed in a network namespace. */
  changeNetwork(path: string): void {
    for (const watched of this.networks.values()) if (watched.path === path) watched.onChanged();
  }

  /** The ids of the processes that run. */
  get running(): string[] {
    return [...this.processes.values()].filter(({ exit }) => exit === undefined).map(({ id }) => id);
  }

  /** containerd opens a Task connection. */
  openTask(): FakeTaskConnection {
    const connection = new FakeTaskConnection(this.nextConnection++, (closed) =>
      this.tasks.delete(closed.number),
    );
    this.tasks.set(connection.number, connection);
    this.client?.serve(connection);
    return connection;
  }

  spawn(spec: ProcessSpawn): StartedProcess {
    return this.add(spec.id, spec, spec.taps?.length ?? 0);
  }

  /** The copy runs until a signal or {@link exit}, whatever its original does. */
  fork({ id, original, taps = 0 }: ProcessFork): StartedProcess {
    this.refuseKnown(id);
    const process = this.processes.get(original);
    if (process === undefined) throw missing("ProcessNotFound", original, "the keeper does not know it");
    if (process.exit !== undefined || process.spec.forkControl === undefined)
      throw missing("ProcessNotRunning", original, "it cannot fork, or has ended");
    return this.add(id, process.spec, taps);
  }

  private add(id: string, spec: ProcessSpawn, taps: number): StartedProcess {
    this.refuseKnown(id);
    const pid = this.nextPid++;
    const identity = { pid, startTime: pid };
    this.processes.set(id, { id, spec, identity, signals: [], sealed: false });
    const names = Array.from({ length: taps }, () => `fake${this.taps++}`);
    return { ...identity, taps: names.map((name) => ({ name, namespace: PARKING })) };
  }

  private refuseKnown(id: string): void {
    if (!this.processes.has(id)) return;
    throw blazarError("ProcessExists", "start a process", "the keeper has one of this name", { subject: id });
  }

  /** A process of an earlier keeper's; the test says by {@link exit} when it ends. */
  adopt(id: string, identity: ProcessIdentity): void {
    const known = this.processes.get(id)?.identity;
    if (known?.pid === identity.pid && known.startTime === identity.startTime) return;
    this.refuseKnown(id);
    if (!this.orphans.has(identity.pid)) throw missing("ProcessNotFound", id, "it has ended");
    const spec = this.orphans.get(identity.pid) as ProcessSpawn;
    this.processes.set(id, { id, spec, identity, signals: [], sealed: true });
  }

  seal(id: string): void {
    this.alive(id).sealed = true;
  }

  signal(id: string, signal: number): void {
    const process = this.alive(id);
    process.signals.push(signal);
    const ignored = this.hooks.onSignal?.(id, signal) ?? (signal !== SIGKILL && signal !== SIGTERM);
    if (!ignored) this.exit(id, { signal });
  }

  private alive(id: string): FakeProcess {
    const process = this.processes.get(id);
    if (process === undefined) throw missing("ProcessNotFound", id, "the keeper does not know it");
    if (process.exit !== undefined) throw missing("ProcessNotRunning", id, "it has ended");
    return process;
  }
}

/** One daemon's client of a {@link FakeKeeperHost}. */
export class FakeKeeper implements Keeper {
  pid = 3_999_999;
  linkLosses = 0;
  deaths = 0;
  private onDied: () => void = () => undefined;
  private up = true;
  private waitingForLink: (() => void)[] = [];
  private readonly waiters = new Map<
    string,
    { resolve(exit: ProcessExit): void; reject(error: BlazarError): void }[]
  >();
  private handler: TaskMessageHandler | undefined;

  constructor(private readonly host: FakeKeeperHost) {}

  get connected(): boolean {
    return this.up;
  }

  /** The link goes down: requests wait, acks stop. */
  disconnect(): void {
    if (this.up) this.linkLosses++;
    this.up = false;
    for (const stdio of this.host.stdio.values()) stdio.detached();
  }

  /** The link comes back. */
  reconnect(): void {
    this.up = true;
    for (const stdio of this.host.stdio.values()) stdio.attached();
    for (const { onChanged } of this.host.networks.values()) queueMicrotask(onChanged);
    for (const go of this.waitingForLink.splice(0)) go();
  }

  onDeath(handler: () => void): void {
    this.onDied = handler;
  }

  inventory(): KeeperInventory {
    const processes = [...this.host.processes.values()].map(({ id, identity, exit }) => ({
      id,
      identity,
      ...(exit === undefined ? {} : { exit }),
    }));
    return { processes, stdio: [...this.host.stdio.keys()] };
  }

  async spawn(spec: ProcessSpawn, signal?: AbortSignal): Promise<StartedProcess> {
    await this.link();
    const { onSpawn, behaviour } = this.host.hooks;
    if (signal?.aborted) throw cancelled(spec.id);
    const { life } = this.host;
    await onSpawn?.(spec);
    if (this.host.life !== life) throw missing("KeeperLost", spec.id, "the keeper has died");
    if (signal?.aborted) throw cancelled(spec.id);
    const started = this.host.spawn(spec);
    const fate = behaviour?.(spec);
    if (fate !== undefined) queueMicrotask(() => this.host.exit(spec.id, fate));
    return started;
  }

  async fork(request: ProcessFork, signal?: AbortSignal): Promise<StartedProcess> {
    await this.link();
    if (signal?.aborted) throw cancelled(request.id);
    const { life } = this.host;
    await this.host.hooks.onFork?.(request);
    if (this.host.life !== life) throw missing("KeeperLost", request.id, "the keeper has died");
    if (signal?.aborted) throw cancelled(request.id);
    return this.host.fork(request);
  }

  async adopt(id: string, identity: ProcessIdentity): Promise<void> {
    await this.link();
    this.host.adopt(id, identity);
  }

  async seal(id: string): Promise<void> {
    await this.link();
    this.host.seal(id);
  }

  async signal(id: string, signal: number): Promise<void> {
    await this.link();
    this.host.signal(id, signal);
  }

  async forget(id: string): Promise<void> {
    await this.link();
    const process = this.host.processes.get(id);
    if (process === undefined) return;
    if (process.exit === undefined) throw missing("IllegalTransition", id, "it still runs");
    this.host.processes.delete(id);
  }

  async makeUplink({ id }: UplinkSpec, signal?: AbortSignal): Promise<string> {
    await this.link();
    if (signal?.aborted) throw cancelled(id);
    if (this.host.uplinks.has(id)) throw missing("IllegalTransition", id, "there is one of this name");
    this.host.uplinks.add(id);
    return `/fake/uplinks/${id}`;
  }

  async adoptUplink(id: string, process: string): Promise<void> {
    await this.link();
    if (!this.host.processes.has(process))
      throw missing("ProcessNotFound", process, "the keeper does not know it");
    this.host.uplinks.add(id);
  }

  async dropUplink(id: string): Promise<void> {
    await this.link();
    this.host.uplinks.delete(id);
  }

  exited(id: string): Promise<ProcessExit> {
    const process = this.host.processes.get(id);
    if (process === undefined) {
      return Promise.reject(missing("ProcessNotFound", id, "the keeper does not know it"));
    }
    if (process.exit !== undefined) return Promise.resolve(process.exit);
    return new Promise((resolve, reject) => {
      this.waiters.set(id, [...(this.waiters.get(id) ?? []), { resolve, reject }]);
    });
  }

  async closeStdio(id: string): Promise<void> {
    await this.link();
    this.host.stdio.delete(id);
  }

  async openStdio(id: string, paths: StdioPaths, handlers: StdioHandlers): Promise<StdioBinding> {
    await this.link();
    let stdio = this.host.stdio.get(id);
    if (stdio === undefined) {
      stdio = new FakeStdio(id, paths);
      this.host.stdio.set(id, stdio);
    }
    stdio.requireSamePaths(paths);
    stdio.bind(handlers);
    return this.binding(id, stdio);
  }

  onTaskMessage(handler: TaskMessageHandler): void {
    this.handler = handler;
    for (const connection of this.host.tasks.values()) this.serve(connection);
  }

  async watchNetwork(id: string, path: string, onChanged: () => void): Promise<void> {
    await this.link();
    this.host.hooks.onWatch?.(path);
    this.host.networks.set(id, { path, onChanged });
  }

  async ping(): Promise<void> {}

  async unwatchNetwork(id: string): Promise<void> {
    this.host.networks.delete(id);
  }

  async close(): Promise<void> {
    this.displaced();
  }

  async shutdown(): Promise<void> {
    if (this.host.running.length > 0 || this.host.stdio.size > 0) {
      throw missing("IllegalTransition", "keeper", "it has processes or open stdio");
    }
    this.host.ended = true;
    this.displaced();
  }

  /** For the host: a process has ended. */
  reported(exit: ProcessExit): void {
    const waiters = this.waiters.get(exit.id) ?? [];
    this.waiters.delete(exit.id);
    for (const waiter of waiters) waiter.resolve(exit);
  }

  /** For the host: another keeper is in the place of one that has died. */
  bereft(): void {
    this.deaths++;
    this.linkLosses++;
    this.pid++;
    this.onDied();
    for (const { onChanged } of this.host.networks.values()) queueMicrotask(onChanged);
  }

  /** For the host: a connection wants its messages answered. */
  serve(connection: FakeTaskConnection): void {
    if (this.handler !== undefined) connection.serve(this.handler);
  }

  /** For the host: this daemon is dead, as far as the keeper goes. */
  displaced(): void {
    if (this.host.client !== this) return;
    this.host.client = undefined;
    this.host.networks.clear();
    this.up = false;
    for (const stdio of this.host.stdio.values()) stdio.unbind();
    for (const connection of this.host.tasks.values()) connection.unserved();
    const lost = blazarError("KeeperLost", "reach the keeper", "this end has closed the link");
    for (const waiters of this.waiters.values()) for (const waiter of waiters) waiter.reject(lost);
    this.waiters.clear();
  }

  private binding(id: string, stdio: FakeStdio): StdioBinding {
    return {
      data: (stream: OutputStream, offset, bytes) => stdio.output(stream).data(offset, bytes),
      end: (stream, offset) => stdio.output(stream).end(offset),
      acknowledgeInput: (offset, window) => stdio.acknowledgeInput(offset, window),
      closeInput: async () => {
        await this.link();
        stdio.closeInput();
      },
      close: async () => {
        await this.link();
        stdio.close();
        if (this.host.stdio.get(id) === stdio) this.host.stdio.delete(id);
      },
    };
  }

  /** Waits for the link, as the real client's requests do. */
  private async link(): Promise<void> {
    if (this.host.client !== this) throw missing("KeeperLost", "keeper", "this end has closed the link");
    if (!this.up) await new Promise<void>((resolve) => this.waitingForLink.push(resolve));
  }
}

function missing(
  code: "ProcessNotFound" | "ProcessNotRunning" | "IllegalTransition" | "KeeperLost",
  subject: string,
  reason: string,
): BlazarError {
  return blazarError(code, "ask the keeper", reason, { subject });
}

function cancelled(subject: string): BlazarError {
  return blazarError("Cancelled", "start a process", "the caller gave up", { subject });
}
