/**
 * A guest without a VM: an agent that speaks the real protocol and plays containers from scripts.
 *
 * Everything it is asked passes the protocol's own checks, and so does what it answers, so that a fake can not drift
 * from the real one. It moves on `schedule` only (microtasks by default), for tests with simulated clocks, and
 * has the faults that the daemon must live with: silence, wrong versions, refusals, hangs, noise, crashes.
 */
import { type BlazarError, blazarError } from "../../../src/contracts/errors.ts";
import type { ShareKind } from "../../../src/contracts/share-kind.ts";
import {
  type ContainerCreate,
  GUEST_ITSELF,
  GUEST_REQUESTS,
  type GuestOp,
  type GuestParams,
  type GuestProcess,
  type GuestResult,
  type GuestStdio,
  type ProcessSignal,
  type SandboxSetup,
  SHARE_PORTS,
} from "../../../src/protocol/guest/messages.ts";
import { encodeFrame, FrameType, GUEST_MAX_FRAME_BYTES } from "../../../src/protocol/wire/frame.ts";
import { PROTOCOL_VERSION } from "../../../src/protocol/wire/hello.ts";
import { Peer } from "../../../src/protocol/wire/peer.ts";
import { FakeProcess, type ProcessScript } from "./process.ts";
import { FakeServers } from "./servers.ts";
import { FakeVolumes } from "./volumes.ts";

const encoder = new TextEncoder();
const decoder = new TextDecoder();
const text = {
  encode: (value: string) => encoder.encode(value),
  decode: (bytes: Uint8Array) => decoder.decode(bytes),
};

/** What is wrong with a guest. May be changed while it runs. */
export interface GuestFaults {
  /** Nothing is ever sent. */
  silent?: boolean;
  /** The version in its hello. */
  helloVersion?: number;
  /** The body of its hello is not a guest's. */
  badHello?: boolean;
  /** Requests that are answered with an error. */
  fails?: Partial<Record<GuestOp, BlazarError>>;
  /** What mounting an image ends with. */
  mountImage?: BlazarError;
  /** Requests that are never answered. */
  hangs?: ReadonlySet<GuestOp>;
  /** Requests that are answered with bytes that are no frame. */
  noise?: ReadonlySet<GuestOp>;
  /** What it answers to signals, of which nothing comes. */
  ignoresSignals?: () => Record<string, never>;
  /** Requests whose answer does not pass the protocol's check. */
  nonsense?: ReadonlySet<GuestOp>;
  /** Requests at which the link breaks, before anything is done. */
  breaks?: ReadonlySet<GuestOp>;
}

export interface FakeGuestOptions {
  readonly faults?: GuestFaults;
  /** What a process does; by default it runs until a signal ends it. execId "" = a container's first process. */
  readonly script?: (process: GuestProcess, id: string, execId: string) => ProcessScript;
  /** Names its agent's lives in hellos: `<name>-1`, `-2` after a crash; default "guest". */
  readonly name?: string;
  /** Runs a callback later; default queueMicrotask. */
  readonly schedule?: (callback: () => void) => void;
  /** Its wall clock while nobody moves it, milliseconds since the epoch; default: this process's. */
  readonly now?: () => number;
  /** Whether its machine has a port of this name; default: all. A root on the share then needs the share. */
  readonly hasPort?: (port: string) => boolean;
  /** The guest has powered its machine off. */
  readonly onPowerOff?: () => void;
}

/** A container of the fake guest. */
export interface FakeContainer {
  readonly create: ContainerCreate;
  readonly init: FakeProcess;
  readonly execs: Map<string, FakeProcess>;
}

/** Its end of a link. */
export interface GuestTransport {
  send(bytes: Uint8Array): void;
  /** The link breaks. */
  break(): void;
}

type Handlers = { [Op in GuestOp]: (params: GuestParams<Op>) => GuestResult<Op> };

export class FakeGuest {
  readonly faults: GuestFaults;
  readonly containers = new Map<string, FakeContainer>();
  /** What processes of containers have started, by the container's id. */
  readonly children = new Map<string, number[]>();
  /** Processes in the guest itself, by exec id. */
  readonly shells = new Map<string, FakeProcess>();
  /** Requests in the order of their arrival. */
  readonly requests: { readonly op: GuestOp; readonly params: unknown }[] = [];
  /** What the host said that a guest must not accept. */
  readonly violations: BlazarError[] = [];
  /** Disks that are mounted and wait for their container. */
  readonly preparedDisks = new Set<string>();
  /** The port over which the share is mounted. */
  readonly mountedShares = new Set<ShareKind>();
  /** Serial → how many containers use that image. */
  readonly mountedImages = new Map<string, number>();
  readonly volumes = new FakeVolumes();
  readonly servers = new FakeServers();
  /** What its containers leave in the files that the host gets back, by the volume's name. */
  readonly left = new Map<string, string>();
  /** Files of the cgroup that all containers are in. */
  readonly podCgroup: Record<string, string> = {};
  /** Ids of containers that are paused. */
  readonly frozen = new Set<string>();
  /** Those that are mounted whether a container uses them or not. */
  readonly preparedImages = new Set<string>();
  setup: SandboxSetup | undefined;
  poweredOff = false;
  /** By how much its clock was moved. */
  clockMoved = 0;
  private peer: Peer;
  private transport: GuestTransport | undefined;
  private nextPid = 100;
  private session = 1;
  private readonly schedule: (callback: () => void) => void;

  constructor(private readonly options: FakeGuestOptions = {}) {
    this.faults = options.faults ?? {};
    this.schedule = options.schedule ?? queueMicrotask;
    this.peer = this.newPeer();
  }

  /** A host has connected to the agent's port. */
  attach(transport: GuestTransport): void {
    this.transport = transport;
    if (this.poweredOff || this.faults.silent === true) return;
    if (this.faults.helloVersion !== undefined) return this.greetWrongly(this.faults.helloVersion);
    this.peer.attach((frame) => this.send(frame));
  }

  /** The host has left. */
  detach(): void {
    this.transport = undefined;
    this.peer.detach();
  }

  receive(bytes: Uint8Array): void {
    if (this.poweredOff || this.faults.silent === true) return;
    this.peer.receive(bytes);
  }

  /** Puts anything on the link. */
  sendRaw(bytes: Uint8Array): void {
    this.send(bytes);
  }

  /** The link breaks, as when QEMU's socket is closed. */
  breakLink(): void {
    this.transport?.break();
  }

  /** The agent dies and comes back: everything is forgotten, and it says hello again. */
  crash(): void {
    this.containers.clear();
    this.preparedDisks.clear();
    this.mountedImages.clear();
    this.preparedImages.clear();
    this.volumes.clear();
    this.setup = undefined;
    this.session++;
    this.peer = this.newPeer();
    if (this.transport !== undefined) this.attach(this.transport);
  }

  hasMounted(serial: string): boolean {
    return this.mountedImages.has(serial) || this.preparedImages.has(serial);
  }

  /** A container's first process ends, and the others with it, if it is there and runs. */
  endContainer(id: string, status: number): void {
    const container = this.containers.get(id);
    if (container?.init.state !== "running") return;
    container.init.exit(status);
    for (const exec of container.execs.values()) exec.exit(137);
  }

  has(container: string): boolean {
    return this.containers.has(container);
  }

  /** As {@link process}; undefined if there is none. */
  find(id: string, execId: string): FakeProcess | undefined {
    const container = this.containers.get(id);
    return execId === "" ? container?.init : container?.execs.get(execId);
  }

  /** A process by name; execId "" = the container's first. Throws if there is none. */
  process(id: string, execId = ""): FakeProcess {
    const process = this.processesOf(id).get(execId);
    if (process === undefined)
      throw failure("ProcessNotFound", "find a process", `${id}/${execId}`, "there is none");
    return process;
  }

  /** A container's processes by exec id, or those in the guest itself. Changes to the latter hold. */
  private processesOf(id: string): ReadonlyMap<string, FakeProcess> {
    if (id === GUEST_ITSELF) return this.shells;
    const { init, execs } = this.container(id);
    return new Map([["", init], ...execs]);
  }

  /** Emits an event of the agent's; a test's own may be anything. */
  emit(event: string, params: unknown): void {
    if (!this.poweredOff) this.peer.emit(event, params);
  }

  private newPeer(): Peer {
    return new Peer({
      session: `${this.options.name ?? "guest"}-${this.session}`,
      text,
      maxFrameBytes: GUEST_MAX_FRAME_BYTES,
      ownsStreams: false,
      helloBody: () => (this.faults.badHello === true ? { role: "toaster" } : helloBody()),
      onHello: () => undefined,
      onRequest: (op, params) => this.answer(op, params),
      onEvent: () => undefined,
      onViolation: (error) => {
        this.violations.push(error);
        this.transport?.break();
      },
    });
  }

  private send(bytes: Uint8Array): void {
    if (!this.poweredOff) this.transport?.send(bytes);
  }

  private greetWrongly(version: number): void {
    const hello = { version, session: "wrong", eventsHandled: 0, body: helloBody() };
    this.send(encodeFrame(FrameType.Hello, 0, 0, text.encode(JSON.stringify(hello))));
  }

  private answer(name: string, params: unknown): unknown {
    if (!isGuestOp(name)) throw failure("Unimplemented", "answer a request", name, "unknown");
    const checked = GUEST_REQUESTS[name].params(params, "params");
    this.requests.push({ op: name, params: checked });
    const { faults } = this;
    const error = faults.fails?.[name];
    if (error !== undefined) throw error;
    if (faults.breaks?.has(name)) this.breakLink();
    if (faults.noise?.has(name)) this.sendRaw(new Uint8Array(64).fill(0xff));
    if (faults.hangs?.has(name) || faults.noise?.has(name) || faults.breaks?.has(name)) {
      return new Promise(() => undefined);
    }
    const result = (this.handlers[name] as (params: unknown) => unknown)(checked);
    if (faults.nonsense?.has(name)) return "nonsense";
    return GUEST_REQUESTS[name].result(result, "result");
  }

  private clock(): number {
    return Math.round((this.options.now ?? Date.now)() + this.clockMoved);
  }

  private readonly handlers: Handlers = {
    ping: () => ({}),
    "sandbox.setup": (params) => {
      if (this.containers.size > 0)
        throw failure("IllegalTransition", "set up the sandbox", "", "it has containers");
      this.setup = params;
      return { now: this.clock() };
    },
    "disk.prepare": ({ diskSerial }) => {
      if (this.preparedDisks.has(diskSerial))
        throw failure("IllegalTransition", "prepare a disk", diskSerial, "it is prepared already");
      this.preparedDisks.add(diskSerial);
      return {};
    },
    "image.prepare": ({ serial }) => {
      if (this.faults.mountImage !== undefined) throw this.faults.mountImage;
      this.preparedImages.add(serial);
      return {};
    },
    "child.prepare": () => ({}),
    "share.mount": ({ share }) => {
      const port = SHARE_PORTS[share];
      if (this.options.hasPort?.(port) === false)
        throw failure("MountFailed", "mount the share", port, "there is no such port");
      this.mountedShares.add(share);
      return {};
    },
    "share.unmount": ({ share }) => {
      this.mountedShares.delete(share);
      return {};
    },
    "network.apply": ({ network }) => {
      if (this.setup === undefined)
        throw failure("SandboxNotReady", "change the network", "", "the sandbox has not been set up");
      this.setup = { ...this.setup, network };
      return {};
    },
    "volume.write": (params) => this.volumes.write(params),
    "volume.swap": (params) => this.volumes.swap(params),
    "sandbox.limit": ({ cgroup }) => {
      Object.assign(this.podCgroup, cgroup);
      return {};
    },
    "volume.remove": ({ names }) => this.volumes.remove(names),
    "network.dial": (params) => this.servers.dial(this.peer, params),
    "clock.adjust": ({ by }) => {
      this.clockMoved += by;
      return { now: this.clock() };
    },
    "container.create": (params) => this.create(params),
    "container.delete": ({ id }) => {
      const container = this.container(id);
      for (const process of processes(container)) {
        process.exit(137);
        process.close();
      }
      this.containers.delete(id);
      this.countImages(container.create, -1);
      return {};
    },
    "container.pids": ({ id }) => ({
      pids: processes(this.container(id))
        .filter((process) => process.state !== "exited")
        .map(({ pid }) => pid),
      children: this.children.get(id) ?? [],
    }),
    "container.update": ({ id, cgroup }) => {
      Object.assign(this.container(id).create.cgroup, cgroup);
      return {};
    },
    "container.stats": ({ id }) => ({ files: { ...this.container(id).create.cgroup } }),
    "container.pause": ({ id }) => this.freeze(id, true),
    "container.resume": ({ id }) => this.freeze(id, false),
    "process.start": ({ id, execId }) => {
      const process = this.process(id, execId);
      if (process.state !== "created") {
        throw failure("IllegalTransition", "start a process", id, `it is ${process.state}`);
      }
      process.start();
      return { pid: process.pid };
    },
    "process.exec": ({ id, execId, process, stdio }) => {
      if (id === GUEST_ITSELF) {
        const shell = this.spawn(id, execId, process, stdio);
        this.shells.set(execId, shell);
        shell.start();
        return { pid: shell.pid };
      }
      const container = this.container(id);
      if (container.init.state !== "running") {
        throw failure("ContainerNotRunning", "start a process", id, "the container does not run");
      }
      if (container.execs.has(execId))
        throw failure("ProcessExists", "start a process", execId, "there is one");
      const exec = this.spawn(id, execId, process, stdio);
      container.execs.set(execId, exec);
      exec.start();
      return { pid: exec.pid };
    },
    "process.delete": ({ id, execId }) => {
      const process = this.process(id, execId);
      if (process.state !== "exited")
        throw failure("IllegalTransition", "forget a process", execId, "it still runs");
      process.close();
      this.execsOf(id).delete(execId);
      return {};
    },
    "process.abandon": ({ id, execId }) => {
      const execs = this.execsOf(id);
      execs.get(execId)?.close();
      execs.delete(execId);
      return {};
    },
    "process.signal": (params) => this.signal(params),
    "process.resize": ({ id, execId, rows, columns }) => {
      this.process(id, execId).size = { rows, columns };
      return {};
    },
    "sandbox.inventory": () => ({
      containers: [...this.containers].map(([id, { init, execs }]) => ({
        ...{ id, paused: this.frozen.has(id), oomKilled: false, returned: [] },
        processes: [["", init] as const, ...execs].map(([execId, { state, status = 0, stdio: streams }]) => ({
          ...{ execId, state, status, streams },
        })),
      })),
    }),
    "sandbox.shutdown": () => {
      for (const { init, execs } of this.containers.values()) {
        for (const process of [...execs.values(), init]) process.exit(137);
      }
      this.containers.clear();
      this.mountedImages.clear();
      this.schedule(() => this.schedule(() => this.powerOff()));
      return {};
    },
  };

  private create(params: ContainerCreate): { pid: number } {
    if (this.containers.has(params.id)) {
      throw failure("ContainerExists", "create a container", params.id, "there is one with this id");
    }
    if (
      params.rootfs.kind === "layers" &&
      this.options.hasPort !== undefined &&
      !this.mountedShares.has("layers")
    )
      throw failure("InvalidRootfs", "create a container", params.id, "the share is not mounted");
    for (const { type, source } of params.mounts) {
      if (type === "volume" && !this.volumes.all.has(source.split("/", 1)[0] ?? ""))
        throw failure("MountFailed", "find the source of a mount", source, "it was not written before");
    }
    if (params.pidNamespace === "target") this.container(params.pidTarget);
    if (params.rootfs.kind === "image" && this.faults.mountImage !== undefined) throw this.faults.mountImage;
    this.countImages(params, 1);
    const init = this.spawn(params.id, "", params.process, params.stdio);
    this.preparedDisks.delete(params.rootfs.diskSerial);
    this.containers.set(params.id, { create: params, init, execs: new Map() });
    return { pid: init.pid };
  }

  private countImages({ rootfs: { imageSerials } }: ContainerCreate, change: number): void {
    for (const serial of imageSerials) {
      const users = (this.mountedImages.get(serial) ?? 0) + change;
      if (users > 0) this.mountedImages.set(serial, users);
      else this.mountedImages.delete(serial);
    }
  }

  private freeze(id: string, frozen: boolean): Record<string, never> {
    if (frozen) this.frozen.add(this.container(id).create.id);
    else this.frozen.delete(this.container(id).create.id);
    return {};
  }

  private signal({ id, execId, signal, all }: ProcessSignal): Record<string, never> {
    if (this.faults.ignoresSignals !== undefined) return this.faults.ignoresSignals();
    const targets = all ? processes(this.container(id)) : [this.process(id, execId)];
    const reached = targets.map((process) => process.signal(signal));
    if (!all && !reached.includes(true)) {
      throw failure("ProcessNotFound", "send a signal", `${id}/${execId}`, "the process has ended");
    }
    return {};
  }

  private spawn(id: string, execId: string, process: GuestProcess, stdio: GuestStdio): FakeProcess {
    return new FakeProcess({
      pid: this.nextPid++,
      process,
      stdio,
      script: this.options.script?.(process, id, execId) ?? {},
      peer: this.peer,
      schedule: this.schedule,
      onExit: (status) => {
        const returned = execId === "" ? this.returnedBy(id) : [];
        this.emit("process.exited", { id, execId, status, returned });
        // the PID namespace's first process takes the others with it
        if (execId === "") for (const exec of this.containers.get(id)?.execs.values() ?? []) exec.signal(9);
      },
    });
  }

  private returnedBy(id: string): { name: string; content: string }[] {
    return (this.containers.get(id)?.create.returned ?? []).flatMap((name) => {
      const text = this.left.get(name);
      return text === undefined ? [] : [{ name, content: Buffer.from(text).toString("base64") }];
    });
  }

  private execsOf(id: string): Map<string, FakeProcess> {
    return id === GUEST_ITSELF ? this.shells : this.container(id).execs;
  }

  private container(id: string): FakeContainer {
    const container = this.containers.get(id);
    if (container === undefined) throw failure("ContainerNotFound", "find a container", id, "there is none");
    return container;
  }

  private powerOff(): void {
    if (this.poweredOff) return;
    this.poweredOff = true;
    this.peer.detach();
    this.options.onPowerOff?.();
  }
}

function helloBody(): unknown {
  return { role: "guest", agent: `fake/${PROTOCOL_VERSION}`, kernel: "6.1.0-fake", timeline: { init: 1 } };
}

function processes({ init, execs }: FakeContainer): FakeProcess[] {
  return [init, ...execs.values()];
}

function isGuestOp(name: string): name is GuestOp {
  return Object.hasOwn(GUEST_REQUESTS, name);
}

function failure(code: BlazarError["code"], operation: string, subject: string, reason: string): BlazarError {
  return blazarError(code, operation, reason, { subject });
}
