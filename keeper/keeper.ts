/**
 * The keeper: puts processes, FIFOs and Task connections behind the daemon's link.
 *
 * It does what the daemon asks (protocol/keeper/messages.ts) and remembers it. A daemon that comes later learns all of it
 * from the hello, so events go only to a daemon that is connected.
 */
import * as sys from "sys";
import { check } from "../native/runtime/check.ts";
import { ChildReaper } from "../native/runtime/child.ts";
import type { EventLoop } from "../native/runtime/event-loop.ts";
import type { Logger } from "../native/runtime/log.ts";
import { textCodec } from "../native/runtime/text-codec.ts";
import { blazarError } from "../src/contracts/errors.ts";
import {
  KEEPER_PROTOCOL_MINOR,
  KEEPER_REQUESTS,
  type KeeperEventName,
  type KeeperHello,
  type KeeperOp,
  type KeeperParams,
} from "../src/protocol/keeper/messages.ts";
import { type Frame, FrameType, KEEPER_MAX_FRAME_BYTES } from "../src/protocol/wire/frame.ts";
import { Peer } from "../src/protocol/wire/peer.ts";
import { ControlServer } from "./control-server.ts";
import { NetworkWatches } from "./network-watches.ts";
import { Processes } from "./processes/processes.ts";
import { Uplinks } from "./processes/uplinks.ts";
import { Stdio } from "./stdio/stdio.ts";
import { TaskServer } from "./tasks/task-server.ts";

export interface KeeperOptions {
  readonly version: string;
  readonly control: string;
  readonly task: string;
  readonly socketMode: number;
  readonly loop: EventLoop;
  readonly log: Logger;
  /** The keeper has come to its end: sockets are gone, answers are sent. */
  readonly onEnd: () => void;
}

type Handlers = { [Op in KeeperOp]: (params: KeeperParams<Op>) => unknown };

export class Keeper {
  private readonly options: KeeperOptions;
  private readonly peer: Peer;
  private readonly control: ControlServer;
  private readonly tasks: TaskServer;
  private readonly processes: Processes;
  private readonly uplinks: Uplinks;
  private readonly stdio: Stdio;
  private readonly networks: NetworkWatches;
  private readonly handlers: Handlers;

  constructor(options: KeeperOptions) {
    this.options = options;
    const { loop, log, socketMode: mode } = options;
    this.peer = this.makePeer();
    const send = (frame: Uint8Array): void => this.peer.send(frame);
    const reaper = new ChildReaper(loop);
    this.uplinks = new Uplinks({ loop, reaper });
    this.processes = new Processes({
      loop,
      reaper,
      openFiles: raiseOpenFiles(),
      uplinks: this.uplinks,
      onExit: (exited) => this.emit("process.exited", exited),
    });
    this.stdio = new Stdio({
      loop,
      log,
      send,
      openStream: (id, handler) => this.peer.openStream(id, handler),
      closeStream: (id) => this.peer.closeStream(id),
    });
    this.networks = new NetworkWatches(loop, (id) => this.emit("network.changed", { id }));
    this.handlers = this.makeHandlers();
    this.tasks = new TaskServer({
      path: options.task,
      mode,
      loop,
      log,
      link: { queued: () => this.control.queued, send },
      onOpened: (connection) => this.emit("task.opened", { connection }),
      onClosed: (connection) => this.emit("task.closed", { connection }),
    });
    this.control = this.listen();
  }

  /** What would be lost if the keeper ended now; "" if nothing. */
  get holding(): string {
    const [processes, streams] = [this.processes.running, this.stdio.size];
    return processes + streams === 0 ? "" : `${processes} processes run, stdio of ${streams} is open`;
  }

  /** Removes the sockets, sends what is queued, then `onEnd`. */
  end(): void {
    this.tasks.close();
    this.control.close(this.options.onEnd);
  }

  private listen(): ControlServer {
    const { control: path, socketMode: mode, loop, log } = this.options;
    try {
      return new ControlServer({
        path,
        mode,
        loop,
        log,
        onAttach: (transport) => this.peer.attach(transport),
        onReceive: (bytes) => this.peer.receive(bytes),
        onProgress: () => this.tasks.linkMoved(),
        onDetach: () => {
          this.networks.clear();
          this.peer.detach();
        },
      });
    } catch (error) {
      this.tasks.close();
      throw error;
    }
  }

  private makePeer(): Peer {
    const { log, loop } = this.options;
    return new Peer({
      session: randomId(),
      text: textCodec,
      maxFrameBytes: KEEPER_MAX_FRAME_BYTES,
      minor: KEEPER_PROTOCOL_MINOR,
      helloBody: () => this.hello(),
      onHello: (_, sameSession) => {
        log.info(sameSession ? "the daemon is back" : "a daemon is here");
        // After the events and the streams' first acks, which follow the hello at once.
        loop.defer(() => this.tasks.replay());
      },
      onRequest: (op, params) => this.request(op, params),
      onEvent: () => undefined,
      onExtension: (frame) => this.extension(frame),
      ownsStreams: false,
      onViolation: (error) => {
        log.error("the daemon broke the protocol: its connection is closed", { error });
        this.control.disconnect();
      },
    });
  }

  private makeHandlers(): Handlers {
    const { processes, stdio, uplinks, networks } = this;
    return {
      ping: () => ({}),
      "process.spawn": (spec) => processes.spawn(spec),
      "process.fork": (request) => processes.fork(request),
      "process.seal": ({ id }) => processes.seal(id),
      "process.signal": ({ id, signal }) => processes.signal(id, signal),
      "process.adopt": (process) => processes.adopt(process),
      "process.forget": ({ id }) => processes.forget(id),
      "uplink.make": (spec) => uplinks.make(spec),
      "uplink.adopt": ({ id, process }) => uplinks.adopt(id, processes.pidOf(process)),
      "uplink.drop": ({ id }) => uplinks.drop(id),
      "stdio.open": (open) => stdio.open(open),
      "stdio.closeInput": ({ id }) => stdio.closeInput(id),
      "stdio.close": ({ id }) => stdio.close(id),
      "network.watch": (watch) => networks.add(watch),
      "network.unwatch": ({ id }) => networks.remove(id),
      shutdown: () => this.shutdown(),
    };
  }

  private hello(): KeeperHello {
    return {
      role: "keeper",
      keeper: this.options.version,
      pid: sys.getpid(),
      processes: this.processes.list(),
      stdio: this.stdio.list(),
      connections: this.tasks.list(),
      nextRequests: this.tasks.nextRequests(),
    };
  }

  private request(op: string, params: unknown): unknown {
    if (!isOp(op)) {
      throw blazarError("Unimplemented", "answer the daemon", "this keeper does not know it", {
        subject: op,
        remedy: "use a keeper and a blazard of the same release",
      });
    }
    return this.handle(op, params);
  }

  private handle<Op extends KeeperOp>(op: Op, params: unknown): unknown {
    const check = KEEPER_REQUESTS[op].params as (value: unknown, path: string) => KeeperParams<Op>;
    return this.handlers[op](check(params, op));
  }

  private extension(frame: Frame): void {
    if (frame.type === FrameType.TaskResponse) return this.tasks.answer(frame);
    throw blazarError("FrameUnexpected", "handle a frame", `type ${frame.type} from the daemon`);
  }

  private emit(event: KeeperEventName, params: unknown): void {
    if (!this.control.linked) return;
    try {
      this.peer.emit(event, params);
    } catch (error) {
      this.options.log.error("the daemon handles no events: its connection is closed", { error });
      this.control.disconnect();
    }
  }

  private shutdown(): void {
    if (this.holding !== "") {
      throw blazarError("IllegalTransition", "end the keeper", this.holding, {
        remedy: "stop the pods first",
      });
    }
    // In a later pass, the first being this one: the answer is queued by then, and goes out before the end.
    const { loop } = this.options;
    loop.defer(() => loop.defer(() => this.end()));
  }
}

function isOp(op: string): op is KeeperOp {
  return Object.hasOwn(KEEPER_REQUESTS, op);
}

/** Every pod takes a handful of descriptors: the usual 1,024 are soon used up. */
function raiseOpenFiles(): { soft: bigint; hard: bigint } {
  const limits = sys.getrlimit(0, sys.RLIMIT_NOFILE);
  if (typeof limits === "number") return { soft: 1024n, hard: 1024n };
  const [soft, hard] = limits;
  sys.prlimit(0, sys.RLIMIT_NOFILE, hard, hard);
  return { soft, hard };
}

function randomId(): string {
  const bytes = new Uint8Array(16);
  check(sys.getrandom(bytes.buffer, 0, bytes.length), "make a session id");
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
