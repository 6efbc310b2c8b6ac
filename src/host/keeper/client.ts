/**
 * The daemon's client of the keeper: the {@link Keeper} port over the frames of `protocol/`.
 *
 * It checks everything that comes, gives every request a deadline, and survives the loss of the link. Requests are then
 * repeated (the keeper does nothing twice), output on its way is sent again, and Task requests without an answer come once
 * more. It also survives the keeper: the next one is started or waited for, and adopts the processes that still run (docs/adr,
 * 25). Nothing that was asked of a dead keeper is asked of the next one by itself.
 */
import { randomUUID } from "node:crypto";
import { BlazarError, blazarError } from "../../contracts/errors.ts";
import type {
  Keeper,
  KeeperInventory,
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
} from "../../contracts/keeper.ts";
import type { Logger } from "../../contracts/logger.ts";
import { hasEnded, processStat } from "../../lib/processes/processes.ts";
import { SIGKILL } from "../../lib/signals.ts";
import { nodeText } from "../../lib/text.ts";
import { KEEPER_EVENTS, KEEPER_PROTOCOL_MINOR, keeperHello } from "../../protocol/keeper/messages.ts";
import { type Frame, FrameType, KEEPER_MAX_FRAME_BYTES } from "../../protocol/wire/frame.ts";
import type { Hello } from "../../protocol/wire/hello.ts";
import { Peer } from "../../protocol/wire/peer.ts";
import { StdioChannels } from "./channels.ts";
import { KeeperLink } from "./link.ts";
import { KeeperNetworks } from "./networks.ts";
import { Orphans } from "./orphans.ts";
import { KeeperProcesses } from "./processes.ts";
import { KeeperRequests, type Outcome } from "./requests.ts";
import { TaskRelay } from "./tasks.ts";

export interface KeeperClientOptions {
  /** The keeper's control socket. */
  readonly control: string;
  readonly log: Logger;
  /** Starts a keeper in the place of one that has died. Default: somebody else does, and it is waited for. */
  readonly start?: () => Promise<unknown>;
  /** How long the first connection may take. Default 10 s. */
  readonly connectTimeoutMs?: number;
  /** How long a request may take, times without a link included. Default 10 s. */
  readonly requestTimeoutMs?: number;
}

/** Connects to a running keeper. Throws KeeperLost, or ProtocolVersion for one of another release. */
export async function connectKeeper(options: KeeperClientOptions): Promise<Keeper> {
  const client = new KeeperClient(options);
  await client.open();
  return client;
}

class KeeperClient implements Keeper {
  private readonly peer: Peer;
  private readonly link: KeeperLink;
  private readonly log: Logger;
  private readonly requests: KeeperRequests;
  private readonly processes = new KeeperProcesses();
  private readonly tasks: TaskRelay;
  private readonly networks: KeeperNetworks;
  private readonly channels: StdioChannels;
  private readonly orphans: Orphans;
  /** What serves each uplink. */
  private readonly uplinks = new Map<string, string>();
  private session = "";
  private keeperPid = 0;
  /** Undefined: not known yet. */
  private keeperStart: number | undefined;
  /** The session of the keeper whose death has been told last. */
  private mourned = "";
  /** It has died, and no other one has adopted all processes yet. */
  private bereft = false;
  private onDied: () => void = () => undefined;
  deaths = 0;
  private closed = false;

  constructor(private readonly options: KeeperClientOptions) {
    this.log = options.log;
    this.orphans = new Orphans((exit) => this.processes.ended(exit));
    this.peer = new Peer({
      session: randomUUID(),
      text: nodeText,
      maxFrameBytes: KEEPER_MAX_FRAME_BYTES,
      minor: KEEPER_PROTOCOL_MINOR,
      helloBody: () => ({ role: "daemon" }),
      onHello: (hello) => this.greeted(hello),
      onRequest: (op) => {
        throw blazarError("Unimplemented", "answer the keeper", "it asks nothing", { subject: op });
      },
      onEvent: (event, params) => this.reported(event, params),
      onExtension: (frame) => this.extension(frame),
      ownsStreams: true,
      onViolation: (error) => this.link.violated(error),
    });
    this.requests = new KeeperRequests(this.peer, options.requestTimeoutMs ?? 10_000);
    this.channels = new StdioChannels(this.peer, this.requests);
    this.networks = new KeeperNetworks(this.requests, options.log);
    this.tasks = new TaskRelay((frame) => this.peer.send(frame), options.log);
    this.link = new KeeperLink({
      path: options.control,
      peer: this.peer,
      log: options.log,
      connectTimeoutMs: options.connectTimeoutMs ?? 10_000,
      onDown: () => this.channels.linkChanged(false),
      beforeRetry: () => this.lookAfterKeeper(),
    });
  }

  open(): Promise<void> {
    return this.link.open();
  }

  get pid(): number {
    return this.keeperPid;
  }

  get connected(): boolean {
    return this.peer.attached;
  }

  get linkLosses(): number {
    return this.link.losses;
  }

  onDeath(handler: () => void): void {
    this.onDied = handler;
  }

  async ping(): Promise<void> {
    await this.requests.send("ping", {}, "keeper");
  }

  inventory(): KeeperInventory {
    return { processes: this.processes.inventory(), stdio: this.channels.ids };
  }

  spawn(spec: ProcessSpawn, signal?: AbortSignal): Promise<StartedProcess> {
    if (spec.jail?.uplink !== undefined) this.uplinks.set(spec.jail.uplink, spec.id);
    return this.requests.sendOrUndo("process.spawn", spec, spec.id, signal, this.outcomeOf(spec.id));
  }

  fork(request: ProcessFork, signal?: AbortSignal): Promise<StartedProcess> {
    return this.requests.sendOrUndo("process.fork", request, request.id, signal, this.outcomeOf(request.id));
  }

  async adopt(id: string, { pid, startTime }: ProcessIdentity): Promise<void> {
    await this.requests.send("process.adopt", { id, pid, startTime }, id);
    this.processes.started(id, { pid, startTime });
  }

  async seal(id: string): Promise<void> {
    await this.requests.send("process.seal", { id }, id);
  }

  async signal(id: string, signal: number): Promise<void> {
    await this.requests.send("process.signal", { id, signal }, id);
  }

  async forget(id: string): Promise<void> {
    const forgotten = this.processes.forgetting(id);
    await this.requests.send("process.forget", { id }, id);
    this.orphans.remove(id);
    forgotten();
  }

  exited(id: string): Promise<ProcessExit> {
    return this.processes.exited(id);
  }

  async makeUplink(spec: UplinkSpec, signal?: AbortSignal): Promise<string> {
    const undo = () => this.dropUplink(spec.id).catch(() => undefined);
    const outcome = { done: () => undefined, undo };
    return (await this.requests.sendOrUndo("uplink.make", spec, spec.id, signal, outcome)).namespace;
  }

  async adoptUplink(id: string, process: string): Promise<void> {
    await this.requests.send("uplink.adopt", { id, process }, id);
    this.uplinks.set(id, process);
  }

  async dropUplink(id: string): Promise<void> {
    this.uplinks.delete(id);
    await this.requests.send("uplink.drop", { id }, id);
  }

  openStdio(id: string, paths: StdioPaths, handlers: StdioHandlers): Promise<StdioBinding> {
    return this.channels.open(id, paths, handlers);
  }

  closeStdio(id: string): Promise<void> {
    return this.channels.close(id);
  }

  onTaskMessage(handler: TaskMessageHandler): void {
    this.tasks.setHandler(handler);
  }

  watchNetwork(id: string, path: string, onChanged: () => void): Promise<void> {
    return this.networks.watch(id, path, onChanged);
  }

  unwatchNetwork(id: string): Promise<void> {
    return this.networks.unwatch(id);
  }

  async close(): Promise<void> {
    if (this.closed) return;
    this.closed = true;
    this.requests.close();
    this.link.close();
    const error = blazarError("KeeperLost", "reach the keeper", "this end has closed the link");
    this.processes.lost(error);
    this.orphans.clear();
    this.peer.close(error);
    this.channels.leave();
    this.tasks.reconcile([]);
    this.networks.clear();
  }

  async shutdown(): Promise<void> {
    await this.requests.send("shutdown", {}, "keeper");
    await this.close();
  }

  private greeted(hello: Hello): void {
    const body = keeperHello(hello.body, "hello");
    const again = this.session !== "";
    if (again && this.session !== hello.session) this.died("another one is in its place");
    this.session = hello.session;
    this.identify(body.pid);
    for (const { id, identity, exited } of body.processes) {
      this.processes.started(id, identity);
      if (exited !== undefined) this.processes.ended(exited);
    }
    for (const stdio of body.stdio) this.channels.takeUp(stdio);
    this.tasks.reconcile(body.connections);
    if (!again) this.tasks.mayHaveSeen(body.connections, body.nextRequests);
    this.channels.linkChanged(true);
    this.link.greeted();
    if (this.bereft) void this.handOver();
    if (again) this.networks.attached();
  }

  private identify(pid: number): void {
    this.keeperPid = pid;
    this.keeperStart = undefined;
    void processStat(pid).then((stat) => {
      if (this.keeperPid === pid) this.keeperStart = stat?.startTime;
    });
  }

  /** The link is down: has the keeper died, and is there another one to be started? */
  private async lookAfterKeeper(): Promise<void> {
    const { keeperPid: pid, keeperStart: startTime } = this;
    const hasDied = pid > 0 && (await hasEnded({ pid, startTime }));
    if (this.closed) return;
    if (hasDied) this.died(`process ${pid} has ended`);
    if (!this.bereft || this.options.start === undefined) return;
    try {
      await this.options.start();
    } catch (err) {
      this.log.error(
        { err },
        "no keeper could be started in the place of the one that has died; it is tried again",
      );
    }
  }

  /** Whatever it was asked for has been done or not; nobody will ever say. */
  private died(reason: string): void {
    if (this.mourned === this.session) return;
    this.mourned = this.session;
    this.bereft = true;
    this.deaths++;
    this.requests.hold();
    const error = blazarError("KeeperLost", "reach the keeper", `it has died: ${reason}`);
    this.peer.failRequests(error);
    for (const { id, ...identity } of this.processes.running()) this.orphans.add(id, identity);
    this.channels.lost();
    this.tasks.reconcile([]);
    const remedy =
      this.options.start === undefined
        ? "the next one is waited for: see that the unit blazar-keeper runs"
        : "another one is started";
    const processes = this.orphans.all.length;
    this.log.error({ pid: this.keeperPid, reason, processes, remedy }, "the keeper has died");
    this.onDied();
  }

  /** The next keeper watches what its predecessor has left; until then it is asked for nothing else. */
  private async handOver(): Promise<void> {
    const { session } = this;
    await Promise.all(this.orphans.all.map(([id, identity]) => this.adoptOrphan(id, identity)));
    await Promise.all([...this.uplinks].map(([id, process]) => this.takeUplink(id, process)));
    // it may have died as well meanwhile
    if (this.session !== session || !this.peer.attached) return;
    this.bereft = false;
    this.requests.release();
    const processes = this.processes.running().length;
    this.log.info({ pid: this.keeperPid, processes }, "another keeper has taken the place of the dead one");
  }

  private async adoptOrphan(id: string, { pid, startTime }: ProcessIdentity): Promise<void> {
    try {
      await this.requests.sendAhead("process.adopt", { id, pid, startTime }, id);
      this.orphans.remove(id);
    } catch (error) {
      const code = error instanceof BlazarError ? error.code : undefined;
      if (code === "ProcessNotFound") return this.orphans.ended(id);
      // the keeper after the next one is asked
      if (code === "KeeperLost") return;
      this.log.warn({ err: error, process: id }, "a process could not be handed over to the next keeper");
    }
  }

  /** Its helper could not be replaced otherwise, and nothing else could be done about that. */
  private async takeUplink(id: string, process: string): Promise<void> {
    try {
      await this.requests.sendAhead("uplink.adopt", { id, process }, id);
    } catch (err) {
      this.log.warn(
        { err, uplink: id },
        "an uplink could not be handed over to the next keeper: its helper cannot be replaced",
      );
    }
  }

  private reported(event: string, params: unknown): void {
    switch (event) {
      case "process.exited":
        return this.processes.ended(KEEPER_EVENTS[event](params, event));
      case "task.opened":
        return this.tasks.opened(KEEPER_EVENTS[event](params, event).connection);
      case "task.closed":
        return this.tasks.closed(KEEPER_EVENTS[event](params, event).connection);
      case "network.changed":
        return this.networks.changed(KEEPER_EVENTS[event](params, event).id);
      default:
        this.log.debug({ event }, "the keeper reports something unknown");
    }
  }

  private extension(frame: Frame): void {
    if (frame.type === FrameType.TaskRequest) return this.tasks.request(frame);
    throw blazarError("FrameUnexpected", "handle a frame", `type ${frame.type} from the keeper`);
  }

  /** What becomes of a process that was asked for. */
  private outcomeOf(id: string): Outcome<StartedProcess> {
    return {
      done: ({ pid, startTime }) => this.processes.started(id, { pid, startTime }),
      undo: () => this.undoStart(id),
    };
  }

  /** The start was given up, but the process is there. */
  private async undoStart(id: string): Promise<void> {
    try {
      const exit = this.processes.exited(id);
      await this.signal(id, SIGKILL).catch(() => undefined);
      await exit;
      await this.forget(id);
    } catch (error) {
      this.log.error({ err: error, process: id }, "a process whose start was given up is left behind");
    }
  }
}
