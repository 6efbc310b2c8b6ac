/**
 * All sandboxes of the node, by id: the implementation of the sandbox port on top of the charts.
 *
 * Each sandbox is a root actor of its own: spawning thousands under one parent costs O(n) each in xstate. This module turns
 * calls into events and snapshots into answers. What a step does is in sandbox.actor.ts, when it happens is in the chart. An
 * error of one sandbox never reaches another.
 */
import { createActor } from "xstate";
import type { Backend } from "../../backends/backend.ts";
import type { Deadlines } from "../../contracts/deadlines.ts";
import { type BlazarError, blazarError } from "../../contracts/errors.ts";
import type { HistorySubject, OwnHistory } from "../../contracts/history.ts";
import type {
  PodLimits,
  SandboxPhase,
  SandboxPlatform,
  SandboxService,
  SandboxSpec,
  SandboxStatus,
} from "../../contracts/sandbox.ts";
import type { CgroupStats } from "../../contracts/stats.ts";
import type { DiskFailed } from "../../contracts/vm.ts";
import { onAbort } from "../../lib/async.ts";
import { deadlineClock } from "../../lib/deadline-timer.ts";
import { checkId } from "../../lib/ids.ts";
import { errorOf } from "../../machines/failure.ts";
import { PHASE_OF_STATE, type SandboxSnapshot, type sandboxMachine } from "../../machines/sandbox.machine.ts";
import type { FoundSandbox } from "../../machines/sandbox.setup.ts";
import type { ContainerRegistry } from "../container/container-registry.ts";
import type { LeftSandbox } from "../resources/known-sandbox.ts";
import type { Pace } from "../supply/pace.ts";
import { until } from "../until.ts";
import { bindSandboxMachine } from "./bindings.ts";
import { failureRemedy, failureText } from "./disk-failures.ts";
import { SandboxEntry } from "./entry.ts";
import { sumOfStats } from "./pod-stats.ts";
import { Sandbox, type SandboxPorts } from "./sandbox.actor.ts";
import type { StrandedSandboxes } from "./stranded.ts";

/** What the registry itself needs, beside what it passes on to each sandbox. */
export interface RegistryPorts extends SandboxPorts {
  readonly backend: Backend;
  readonly containers: ContainerRegistry;
  readonly stranded: StrandedSandboxes;
  readonly pace: Pick<Pace, "provisions" | "activity">;
  readonly deadlines: Deadlines;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
}

/** Wait's answer for a sandbox that did not end because it was asked to. */
const FAILED_STATUS = 1;
/** After a removal that failed and that nobody will ask for again. */
const FORGET_AGAIN_MS = 30_000;

export class SandboxRegistry implements SandboxService {
  /** False: {@link create} refuses. */
  takesNew = true;
  private readonly sandboxes = new Map<string, SandboxEntry>();
  private readonly machine: typeof sandboxMachine;
  /** Until nothing is left of an earlier daemon but what was taken over; nothing is made before that. */
  cleared: Promise<void> | undefined;

  constructor(private readonly ports: RegistryPorts) {
    const { containers, backend } = ports;
    const sandbox = (id: string) => this.entry(id).sandbox;
    this.machine = bindSandboxMachine({ sandbox, container: (id) => containers.get(id) }, backend);
  }

  get size(): number {
    return this.sandboxes.size;
  }

  ids(): string[] {
    return [...this.sandboxes.keys()];
  }

  /** Throws SandboxNotFound, JournalDamaged. */
  entry(id: string): SandboxEntry {
    const entry = this.sandboxes.get(id);
    if (entry !== undefined) return entry;
    if (this.ports.stranded.has(id)) throw this.ports.stranded.error("find the sandbox", id);
    throw blazarError("SandboxNotFound", "find the sandbox", "no such sandbox", { subject: id });
  }

  /** The sandbox that holds a container's root: it has the container, or could not undo all that a creation has left. */
  holderOf(containerId: string): string | undefined {
    for (const [id, { sandbox }] of this.sandboxes)
      for (const resource of sandbox.resources.outstanding)
        if (resource.kind === "rootfs" && resource.plan.containerId === containerId) return id;
    return undefined;
  }

  async create(spec: SandboxSpec, signal?: AbortSignal): Promise<void> {
    this.refuse(spec);
    if (this.cleared !== undefined) await this.cleared;
    this.refuse(spec);
    const sandbox = new Sandbox(spec, this.ports);
    const entry = this.enter(sandbox, this.openHistory(sandbox, { createdAt: this.ports.now() }));
    entry.actor.start();
    await this.reach(entry, "create the sandbox", (snapshot) => snapshot.matches("created"), signal);
    sandbox.logger.info({ pod: `${spec.namespace}/${spec.name}` }, "sandbox created");
  }

  /**
   * Takes over a sandbox that an earlier daemon has left: from now on it is known, with its containers, which `fill` adds. Its
   * chart goes on by itself. Throws what its backend cannot open; then it is not taken over.
   */
  adopt(left: LeftSandbox, fill: (sandbox: Sandbox) => void): void {
    const { known, history } = left;
    const { spec, phase, pid } = known;
    const sandbox = new Sandbox(spec, this.ports, left);
    const opened = this.openHistory(sandbox, { createdAt: phase.createdAt, earlier: history });
    sandbox.recordHistory();
    opened.note("taken over by another daemon");
    fill(sandbox);
    const containers = this.ports.containers.of(spec.id);
    const found = Object.fromEntries(containers.map((container) => [container.id, container.found]));
    const { failure } = phase;
    const entry = this.enter(sandbox, opened, {
      left,
      found: { phase: phase.phase, pid, failure, containers: found },
    });
    sandbox.adopted = until(entry.actor, (snapshot) => !snapshot.matches("adopting")).then(() => {
      sandbox.adopted = undefined;
    });
    entry.actor.start();
    for (const container of containers) container.actor = entry.containerActor(container.id);
  }

  /** Sets {@link cleared}, which must not reject. */
  makeAfter(cleared: Promise<void>): void {
    this.cleared = cleared.then(() => {
      this.cleared = undefined;
    });
  }

  private openHistory(sandbox: Sandbox, since: Pick<HistorySubject, "createdAt" | "earlier">): OwnHistory {
    const { id, name, namespace, uid, attempt } = sandbox.spec;
    const pod = { name, namespace, uid, attempt };
    const history = this.ports.histories.open({ id, pod, ...since, facts: () => sandbox.facts() });
    sandbox.history = history;
    return history;
  }

  private enter(
    sandbox: Sandbox,
    { inspect }: OwnHistory,
    { left, found }: { readonly left?: LeftSandbox; readonly found?: FoundSandbox } = {},
  ): SandboxEntry {
    const { deadlines, now } = this.ports;
    const input = { sandboxId: sandbox.id, deadlines, found };
    const actor = createActor(this.machine, {
      input,
      clock: deadlineClock,
      ...(inspect === undefined ? {} : { inspect }),
    });
    const entry = new SandboxEntry(sandbox, actor, now, left);
    this.sandboxes.set(sandbox.id, entry);
    this.watch(entry);
    return entry;
  }

  async start(id: string, signal?: AbortSignal): Promise<{ pid: number; createdAt: Date }> {
    const entry = this.entry(id);
    const before = entry.actor.getSnapshot();
    const isOnTheWay = (["adopting", "created", "booting", "ready"] as const).some((state) =>
      before.matches(state),
    );
    if (!isOnTheWay) throw illegal("start the sandbox", id, before);
    entry.send({ type: "sandbox.start" });
    const snapshot = await this.ports.pace.activity.during(() =>
      this.reach(entry, "start the sandbox", (now) => now.matches("ready"), signal),
    );
    await this.remembered(entry);
    entry.sandbox.logger.info({ timeline: entry.timeline.steps }, "sandbox ready");
    return { pid: snapshot.context.pid, createdAt: entry.createdAt };
  }

  platform(id: string): SandboxPlatform {
    this.entry(id);
    return { os: "linux", architecture: "amd64", variant: "" };
  }

  async stop(id: string, _timeoutMs: number): Promise<void> {
    if (this.ports.stranded.has(id)) return await this.ports.stranded.stop(id);
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
    const disks = entry.diskFailures.list;
    return {
      id,
      phase: phaseOf(snapshot),
      pid,
      createdAt: entry.createdAt,
      ...(entry.exitedAt === undefined
        ? {}
        : { exitedAt: entry.exitedAt, exitStatus: failure === undefined ? 0 : FAILED_STATUS }),
      info: {
        state: entry.state,
        timeline: JSON.stringify(entry.timeline.steps),
        ...entry.sandbox.backend.info(),
        ...(entry.fallbacks.length === 0 ? {} : { fallbacks: JSON.stringify(entry.fallbacks) }),
        ...(disks.length === 0 ? {} : { diskFailures: JSON.stringify(disks) }),
        ...(failure === undefined ? {} : { failure: errorOf(failure, id).message }),
      },
    };
  }

  async usage(id: string): Promise<CgroupStats> {
    const { sandbox, actor } = this.entry(id);
    const phase = phaseOf(actor.getSnapshot());
    if (phase !== "ready")
      throw blazarError("SandboxNotReady", "read what the pod uses", `it is ${phase}`, { subject: id });
    return await sandbox.usage();
  }

  /** What the pod's containers use together, as the guest counts it. The VMM is not in it. */
  async stats(id: string): Promise<CgroupStats> {
    const phase = phaseOf(this.entry(id).actor.getSnapshot());
    if (phase !== "ready")
      throw blazarError("SandboxNotReady", "read the pod's statistics", `it is ${phase}`, { subject: id });
    // a container that comes or goes meanwhile uses nothing
    const all = await Promise.allSettled(this.ports.containers.of(id).map((container) => container.stats()));
    return sumOfStats(all.flatMap((each) => (each.status === "fulfilled" ? [each.value] : [])));
  }

  async resize(id: string, limits: PodLimits): Promise<void> {
    const { sandbox, actor } = this.entry(id);
    await sandbox.adopted;
    const snapshot = actor.getSnapshot();
    if (!snapshot.matches("ready"))
      throw blazarError("SandboxNotReady", "resize the pod", `it is ${phaseOf(snapshot)}`, { subject: id });
    await sandbox.resize(limits);
    sandbox.logger.info({ limits }, "the pod's limits have changed");
  }

  async shutdown(id: string): Promise<void> {
    if (this.ports.stranded.has(id)) return await this.ports.stranded.shutdown(id);
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
        this.ports.logger.error({ err: end.reason }, "could not end a sandbox cleanly");
    }
  }

  private refuse(spec: SandboxSpec): void {
    const operation = "create the sandbox";
    checkId(spec.id, operation);
    if (this.sandboxes.has(spec.id) || this.ports.stranded.has(spec.id))
      throw blazarError("SandboxExists", operation, "there is one with this id", { subject: spec.id });
    if (this.takesNew) return;
    const remedy = "`blazar undrain` or a restart of blazard ends that";
    throw blazarError("Draining", operation, "the node is drained", { subject: spec.id, remedy });
  }

  /** A sandbox that a later daemon would not know of must not run. */
  private async remembered(entry: SandboxEntry): Promise<void> {
    try {
      await entry.written;
    } catch (error) {
      await this.shutdown(entry.sandbox.id);
      throw error;
    }
  }

  /** Waits for a state on the way up; a chart that ends instead has a failure, and has cleaned up. */
  private async reach(
    entry: SandboxEntry,
    operation: string,
    reached: (snapshot: SandboxSnapshot) => boolean,
    signal: AbortSignal | undefined,
  ): Promise<SandboxSnapshot> {
    const { id } = entry.sandbox;
    const forget = onAbort(signal, () => entry.send({ type: "sandbox.shutdown" }));
    const snapshot = await until(entry.actor, (now) => reached(now) || now.matches("stopped"));
    forget();
    if (reached(snapshot)) return snapshot;
    if (snapshot.status !== "active") await this.forgetAtLast(entry);
    const { failure } = snapshot.context;
    if (failure !== undefined) throw errorOf(failure, id);
    throw blazarError("Cancelled", operation, "it was stopped meanwhile", { subject: id });
  }

  /** Nobody will ask for this one again: what cannot be undone now is tried again. */
  private async forgetAtLast(entry: SandboxEntry): Promise<void> {
    try {
      await this.forget(entry);
    } catch (err) {
      entry.sandbox.logger.error(
        { err },
        "a sandbox that failed could not be removed yet; it is tried again",
      );
      setTimeout(() => void this.forgetAtLast(entry), FORGET_AGAIN_MS).unref();
    }
  }

  /** After the chart's end: undo what is left, then the id is free. Throws what cannot be undone. */
  private async forget(entry: SandboxEntry): Promise<void> {
    const { sandbox } = entry;
    await sandbox.finish();
    if (this.sandboxes.get(sandbox.id) !== entry) return;
    this.sandboxes.delete(sandbox.id);
    this.ports.containers.removeAll(sandbox.id);
    sandbox.history?.close();
    sandbox.logger.info({}, "sandbox removed");
  }

  /** Logs why a sandbox goes down by itself, with the last words of its guest. */
  private watch(entry: SandboxEntry): void {
    const { sandbox } = entry;
    let told = false;
    entry.actor.subscribe((snapshot) => {
      const { failure } = snapshot.context;
      if (failure === undefined || told) return;
      told = true;
      const log = (diagnostics: string) =>
        sandbox.logger.error(
          { code: failure.code, diagnostics },
          `sandbox failed: ${errorOf(failure, sandbox.id).message}`,
        );
      sandbox.backend.diagnostics().then(log, () => log(""));
    });
    entry.actor.on("leftover", ({ step }) => {
      sandbox.history?.note(`${step} failed or was late; Shutdown comes back to it`);
      sandbox.logger.warn({ step }, "a step of the clean-up failed; Shutdown tries again");
    });
    entry.actor.on("diskFailed", ({ event }) => this.tellDiskFailure(entry, event));
  }

  private tellDiskFailure({ sandbox, timeline, diskFailures }: SandboxEntry, event: DiskFailed): void {
    const container = this.ports.containers.of(sandbox.id).find(({ diskId }) => diskId === event.disk);
    const failure = diskFailures.note(event, container?.id);
    if (failure === undefined) return;
    const text = failureText(failure);
    timeline.noted(text);
    sandbox.history?.note(text);
    sandbox.logger.error({ ...failure, remedy: failureRemedy(failure) }, text);
  }
}

function phaseOf(snapshot: SandboxSnapshot): SandboxPhase {
  const { value, context } = snapshot;
  const state = typeof value === "string" ? value : (Object.keys(value)[0] as keyof typeof value);
  const phase = state === "adopting" ? (context.found?.phase ?? "ready") : PHASE_OF_STATE[state];
  return phase === "stopped" && context.failure !== undefined ? "failed" : phase;
}

function illegal(operation: string, id: string, snapshot: SandboxSnapshot): BlazarError {
  return blazarError("IllegalTransition", operation, `it is ${phaseOf(snapshot)}`, { subject: id });
}
