/**
 * All sandboxes of the node, by id: the implementation of the sandbox port on top of the charts.
 *
 * Each sandbox is a root actor of its own (spawning thousands under one parent is O(n), facts/node.md). This
 * module turns calls into events and snapshots into answers; what a step does is in sandbox.actor.ts, when it
 * happens is in the chart. An error of one sandbox never reaches another.
 */
import { type Actor, createActor } from "xstate";
import { type BlazarError, blazarError } from "../../contracts/errors.ts";
import type {
  SandboxPhase,
  SandboxPlatform,
  SandboxService,
  SandboxSpec,
  SandboxStatus,
} from "../../contracts/sandbox.ts";
import type { ContainerActor } from "../../machines/container.machine.ts";
import { errorOf } from "../../machines/failure.ts";
import type { SandboxSnapshot, sandboxMachine } from "../../machines/sandbox.machine.ts";
import { containerActorId, type SandboxEvent } from "../../machines/sandbox.setup.ts";
import type { Host } from "../host.ts";
import { until } from "../until.ts";
import { bindSandboxMachine } from "./bindings.ts";
import { SandboxRuntime } from "./sandbox.actor.ts";
import { Timeline } from "./timeline.ts";

/** The part of xstate's clock that a simulated one has to offer. */
export interface Clock {
  setTimeout(callback: () => void, milliseconds: number): unknown;
  clearTimeout(handle: unknown): void;
}

/** One sandbox: its chart, its effects and what Wait is waiting for. */
export class SandboxEntry {
  readonly createdAt: Date;
  exitedAt: Date | undefined;
  readonly timeline: Timeline;
  readonly ended: Promise<Date>;

  constructor(
    readonly runtime: SandboxRuntime,
    readonly actor: Actor<typeof sandboxMachine>,
    now: () => number,
  ) {
    this.createdAt = new Date(now());
    this.timeline = new Timeline(now, (state, ms) => {
      if (runtime.journalOpen) runtime.journal.transition(state, ms);
    });
    this.ended = until(actor, (snapshot) => snapshot.matches("stopped")).then(() => {
      this.exitedAt = new Date(now());
      return this.exitedAt;
    });
    actor.subscribe((snapshot) => this.timeline.entered(statePath(snapshot.value)));
  }

  /** Sends an event unless the chart has ended: then there is nothing left to ask of it. */
  send(event: SandboxEvent): void {
    if (this.actor.getSnapshot().status === "active") this.actor.send(event);
  }

  containerActor(containerId: string): ContainerActor | undefined {
    return this.actor.getSnapshot().children[containerActorId(containerId)];
  }
}

/** Ids become names of directories, cgroups and processes: nothing else may be in them. */
const SAFE_ID = /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/;
/** Wait's answer for a sandbox that did not end because it was asked to. */
const FAILED_STATUS = 1;

export class SandboxRegistry implements SandboxService {
  private readonly sandboxes = new Map<string, SandboxEntry>();
  private readonly machine: typeof sandboxMachine;

  /** Called after a sandbox is gone for good, its containers included. */
  onRemoved: (sandbox: SandboxRuntime) => void = () => undefined;

  constructor(
    private readonly host: Host,
    private readonly clock?: Clock,
  ) {
    this.machine = bindSandboxMachine({
      sandbox: (id) => this.entry(id).runtime,
      container: (sandboxId, containerId) => {
        const container = this.entry(sandboxId).runtime.containers.get(containerId);
        if (container !== undefined) return container;
        throw blazarError("ContainerNotFound", "find the container", "no such container", {
          subject: containerId,
        });
      },
    });
  }

  get size(): number {
    return this.sandboxes.size;
  }

  ids(): string[] {
    return [...this.sandboxes.keys()];
  }

  /** Throws SandboxNotFound. */
  entry(id: string): SandboxEntry {
    const entry = this.sandboxes.get(id);
    if (entry !== undefined) return entry;
    throw blazarError("SandboxNotFound", "find the sandbox", "no such sandbox", { subject: id });
  }

  async create(spec: SandboxSpec, signal?: AbortSignal): Promise<void> {
    this.refuse(spec);
    const runtime = new SandboxRuntime(spec, this.host);
    const actor = createActor(this.machine, {
      input: { sandboxId: spec.id, deadlines: this.host.deadlines },
      ...(this.clock === undefined ? {} : { clock: this.clock }),
    });
    const entry = new SandboxEntry(runtime, actor, this.host.now);
    this.sandboxes.set(spec.id, entry);
    this.watch(entry);
    actor.start();
    await this.reach(entry, "create the sandbox", (snapshot) => snapshot.matches("created"), signal);
    runtime.logger.info({ pod: `${spec.namespace}/${spec.name}` }, "sandbox created");
  }

  async start(id: string, signal?: AbortSignal): Promise<{ pid: number; createdAt: Date }> {
    const entry = this.entry(id);
    const before = entry.actor.getSnapshot();
    if (!before.matches("created") && !before.matches("booting") && !before.matches("ready")) {
      throw illegal("start the sandbox", id, before);
    }
    entry.send({ type: "sandbox.start" });
    const snapshot = await this.host.supply.activity.during(() =>
      this.reach(entry, "start the sandbox", (now) => now.matches("ready"), signal),
    );
    entry.runtime.logger.info({ timeline: entry.timeline.steps }, "sandbox ready");
    return { pid: snapshot.context.pid, createdAt: entry.createdAt };
  }

  platform(id: string): SandboxPlatform {
    this.entry(id);
    return { os: "linux", architecture: "amd64", variant: "" };
  }

  async stop(id: string, _timeoutMs: number): Promise<void> {
    const entry = this.entry(id);
    entry.send({ type: "sandbox.stop" });
    await until(entry.actor, (snapshot) => snapshot.matches("stopped"));
  }

  async wait(id: string, signal: AbortSignal): Promise<{ exitStatus: number; exitedAt: Date }> {
    const entry = this.entry(id);
    const snapshot = await until(entry.actor, (now) => now.matches("stopped"), signal);
    return {
      exitStatus: snapshot.context.failure === undefined ? 0 : FAILED_STATUS,
      exitedAt: await entry.ended,
    };
  }

  status(id: string): SandboxStatus {
    const entry = this.entry(id);
    const snapshot = entry.actor.getSnapshot();
    const { failure, pid } = snapshot.context;
    return {
      id,
      phase: phaseOf(snapshot),
      pid,
      createdAt: entry.createdAt,
      ...(entry.exitedAt === undefined
        ? {}
        : { exitedAt: entry.exitedAt, exitStatus: failure === undefined ? 0 : FAILED_STATUS }),
      info: {
        state: statePath(snapshot.value),
        timeline: JSON.stringify(entry.timeline.steps),
        vmmTimeline: JSON.stringify(entry.runtime.vm?.timeline ?? []),
        acceleration: entry.runtime.vm?.acceleration ?? "",
        boot: entry.runtime.source ?? "",
        ...(failure === undefined ? {} : { failure: errorOf(failure, id).message }),
      },
    };
  }

  async shutdown(id: string): Promise<void> {
    const entry = this.entry(id);
    entry.send({ type: "sandbox.shutdown" });
    await until(entry.actor, () => false);
    await this.forget(entry);
  }

  /** Ends every sandbox: the daemon goes away. */
  async drain(): Promise<void> {
    const ends = this.ids().map((id) => this.shutdown(id));
    for (const end of await Promise.allSettled(ends)) {
      if (end.status === "rejected")
        this.host.logger.error({ err: end.reason }, "could not end a sandbox cleanly");
    }
  }

  private refuse(spec: SandboxSpec): void {
    const operation = "create the sandbox";
    if (!SAFE_ID.test(spec.id)) {
      throw blazarError(
        "InvalidArgument",
        operation,
        "an id has 1 to 128 letters, digits, dots, dashes or underscores",
        { subject: spec.id.slice(0, 200) },
      );
    }
    if (this.sandboxes.has(spec.id)) {
      throw blazarError("SandboxExists", operation, "there is one with this id", { subject: spec.id });
    }
    this.host.networks.admit(spec);
  }

  /** Waits for a state on the way up; a chart that ends instead has a failure, and has cleaned up. */
  private async reach(
    entry: SandboxEntry,
    operation: string,
    reached: (snapshot: SandboxSnapshot) => boolean,
    signal: AbortSignal | undefined,
  ): Promise<SandboxSnapshot> {
    const { id } = entry.runtime;
    const cancel = () => entry.send({ type: "sandbox.shutdown" });
    if (signal?.aborted) cancel();
    signal?.addEventListener("abort", cancel, { once: true });
    const snapshot = await until(entry.actor, (now) => reached(now) || now.matches("stopped"));
    signal?.removeEventListener("abort", cancel);
    if (reached(snapshot)) return snapshot;
    if (snapshot.status !== "active") await this.forget(entry);
    const { failure } = snapshot.context;
    if (failure !== undefined) throw errorOf(failure, id);
    throw blazarError("Cancelled", operation, "it was stopped meanwhile", { subject: id });
  }

  /** After the chart's end: undo what is left, then the id is free. Throws what cannot be undone. */
  private async forget(entry: SandboxEntry): Promise<void> {
    await entry.runtime.finish();
    if (this.sandboxes.get(entry.runtime.id) === entry) {
      this.sandboxes.delete(entry.runtime.id);
      this.onRemoved(entry.runtime);
      entry.runtime.logger.info({}, "sandbox removed");
    }
  }

  /** Logs why a sandbox goes down by itself, with the last words of its guest. */
  private watch(entry: SandboxEntry): void {
    const { runtime } = entry;
    let told = false;
    entry.actor.subscribe((snapshot) => {
      const { failure } = snapshot.context;
      if (failure === undefined || told) return;
      told = true;
      const log = (diagnostics: string) =>
        runtime.logger.error(
          { code: failure.code, diagnostics },
          `sandbox failed: ${errorOf(failure, runtime.id).message}`,
        );
      (runtime.vm?.diagnostics() ?? Promise.resolve("")).then(log, () => log(""));
    });
    entry.actor.on("leftover", ({ step }) =>
      runtime.logger.warn({ step }, "a step of the clean-up failed; Shutdown tries again"),
    );
  }
}

function phaseOf(snapshot: SandboxSnapshot): SandboxPhase {
  for (const phase of ["creating", "created", "booting", "ready", "stopping"] as const) {
    if (snapshot.matches(phase)) return phase;
  }
  return snapshot.context.failure === undefined ? "stopped" : "failed";
}

function illegal(operation: string, id: string, snapshot: SandboxSnapshot): BlazarError {
  return blazarError("IllegalTransition", operation, `it is ${phaseOf(snapshot)}`, { subject: id });
}

/** `{booting: "awaitingAgent"}` → `booting.awaitingAgent`. */
function statePath(value: unknown): string {
  if (typeof value === "string") return value;
  const [[name, inner] = ["", ""]] = Object.entries(value as Record<string, unknown>);
  return `${name}.${statePath(inner)}`;
}
