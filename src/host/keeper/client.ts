/**
 * The daemon's client of the keeper: the {@link Keeper} port over the frames of `protocol/`.
 *
 * It checks everything that comes, gives every request a deadline, and survives the loss of the link. Requests are then
 * repeated (the keeper does nothing twice), output on its way is sent again, and Task requests without an answer come once
 * more. A keeper that was itself restarted has lost everything: KeeperLost.
 */
import { randomUUID } from "node:crypto";
import { blazarError } from "../../contracts/errors.ts";
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
import { SIGKILL } from "../../lib/signals.ts";
import { nodeText } from "../../lib/text.ts";
import {
  KEEPER_EVENTS,
  KEEPER_PROTOCOL_MINOR,
  type KeeperHello,
  keeperHello,
} from "../../protocol/keeper/messages.ts";
import { type Frame, FrameType, KEEPER_MAX_FRAME_BYTES } from "../../protocol/wire/frame.ts";
import type { Hello } from "../../protocol/wire/hello.ts";
import { Peer } from "../../protocol/wire/peer.ts";
import { KeeperLink } from "./link.ts";
import { KeeperNetworks } from "./networks.ts";
import { KeeperProcesses } from "./processes.ts";
import { KeeperRequests, type Outcome } from "./requests.ts";
import { StdioChannel } from "./stdio.ts";
import { TaskRelay } from "./tasks.ts";

export interface KeeperClientOptions {
  /** The keeper's control socket. */
  readonly control: string;
  readonly log: Logger;
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
  private readonly channels = new Map<string, StdioChannel>();
  private session = "";
  private keeperPid = 0;
  private nextStream = 1;
  private closed = false;

  constructor(options: KeeperClientOptions) {
    this.log = options.log;
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
    this.networks = new KeeperNetworks(this.requests, options.log);
    this.tasks = new TaskRelay((frame) => this.peer.send(frame), options.log);
    this.link = new KeeperLink({
      path: options.control,
      peer: this.peer,
      log: options.log,
      connectTimeoutMs: options.connectTimeoutMs ?? 10_000,
      onDown: () => this.tellChannels(false),
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

  inventory(): KeeperInventory {
    return { processes: this.processes.inventory(), stdio: [...this.channels.keys()] };
  }

  spawn(spec: ProcessSpawn, signal?: AbortSignal): Promise<StartedProcess> {
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

  async dropUplink(id: string): Promise<void> {
    await this.requests.send("uplink.drop", { id }, id);
  }

  async openStdio(id: string, paths: StdioPaths, handlers: StdioHandlers): Promise<StdioBinding> {
    let channel = this.channels.get(id);
    const adopted = channel !== undefined && samePaths(channel.open, paths);
    if (channel === undefined || !adopted) channel = this.newChannel(id, paths, channel);
    try {
      await this.requests.send("stdio.open", channel.open, id);
    } catch (error) {
      if (!adopted) this.dropChannel(id, channel);
      throw error;
    }
    channel.bind(handlers);
    return this.binding(id, channel);
  }

  async closeStdio(id: string): Promise<void> {
    await this.requests.send("stdio.close", { id }, id);
    const channel = this.channels.get(id);
    if (channel !== undefined) this.dropChannel(id, channel);
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
    this.lose("this end has closed the link");
  }

  async shutdown(): Promise<void> {
    await this.requests.send("shutdown", {}, "keeper");
    await this.close();
  }

  /** A channel whose open request is not answered yet; ids already in use stay with the channel in use. */
  private newChannel(id: string, paths: StdioPaths, present: StdioChannel | undefined): StdioChannel {
    const stream = (path: string): { path: string; stream: number } => ({
      path,
      stream: path === "" ? 0 : this.nextStream++,
    });
    const open = {
      id,
      stdin: stream(paths.stdin),
      stdout: stream(paths.stdout),
      stderr: stream(paths.stderr),
    };
    const channel = new StdioChannel(open, this.peer, false);
    if (present === undefined) this.channels.set(id, channel);
    return channel;
  }

  private dropChannel(id: string, channel: StdioChannel): void {
    channel.close();
    if (this.channels.get(id) === channel) this.channels.delete(id);
  }

  private binding(id: string, channel: StdioChannel): StdioBinding {
    return {
      data: (stream, offset, bytes) => channel.output(stream).data(offset, bytes),
      end: (stream, offset) => channel.output(stream).end(offset),
      acknowledgeInput: (offset, window) => channel.input.acknowledge(offset, window),
      closeInput: async () => {
        await this.requests.send("stdio.closeInput", { id }, id);
      },
      close: async () => {
        if (this.channels.get(id) !== channel) return;
        await this.requests.send("stdio.close", { id }, id);
        this.dropChannel(id, channel);
      },
    };
  }

  private greeted(hello: Hello): void {
    const body = keeperHello(hello.body, "hello");
    if (this.session !== "" && this.session !== hello.session) this.lose("the keeper was restarted");
    const again = this.session !== "";
    this.session = hello.session;
    this.keeperPid = body.pid;
    for (const { id, identity, exited } of body.processes) {
      this.processes.started(id, identity);
      if (exited !== undefined) this.processes.ended(exited);
    }
    for (const stdio of body.stdio) this.takeUp(stdio);
    this.tasks.reconcile(body.connections);
    if (!again) this.tasks.mayHaveSeen(body.connections, body.nextRequests);
    this.tellChannels(true);
    this.link.greeted();
    if (again) this.networks.attached();
  }

  /** Takes up stdio that is open in the keeper, so that its acks have an owner from the start. */
  private takeUp({ open, endedStreams }: KeeperHello["stdio"][number]): void {
    const streams = [open.stdin.stream, open.stdout.stream, open.stderr.stream];
    this.nextStream = Math.max(this.nextStream, ...streams.map((stream) => stream + 1));
    if (!this.channels.has(open.id))
      this.channels.set(open.id, new StdioChannel(open, this.peer, true, endedStreams));
  }

  private tellChannels(up: boolean): void {
    for (const channel of this.channels.values()) channel.linkChanged(up);
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

  /** Nothing that was in the keeper is there any more, or can be reached. */
  private lose(reason: string): void {
    const error = blazarError("KeeperLost", "reach the keeper", reason);
    this.processes.lost(error);
    if (this.closed) this.peer.close(error);
    for (const channel of this.channels.values()) channel.close();
    this.channels.clear();
    this.tasks.reconcile([]);
    if (this.closed) this.networks.clear();
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

function samePaths(open: KeeperHello["stdio"][number]["open"], paths: StdioPaths): boolean {
  return (
    open.stdin.path === paths.stdin && open.stdout.path === paths.stdout && open.stderr.path === paths.stderr
  );
}
