/**
 * One sandbox of the registry: its chart, its effects, its timeline, and what Wait is waiting for.
 *
 * Writes the fact `phase` from the moment on at which the sandbox is ready: a later daemon takes it over by that.
 */
import type { Actor } from "xstate";
import { sandboxPath, statePath } from "../../charts/names.ts";
import type { ContainerActor } from "../../machines/container.machine.ts";
import type { SandboxSnapshot, sandboxMachine } from "../../machines/sandbox.machine.ts";
import { BOOT_ACTOR, containerActorId, type SandboxEvent } from "../../machines/sandbox.setup.ts";
import type { VmBootActor } from "../../machines/vm-boot.machine.ts";
import type { Fallback } from "../../machines/vm-boot.setup.ts";
import type { PhaseFact } from "../resources/facts.ts";
import type { LeftSandbox } from "../resources/known-sandbox.ts";
import { until } from "../until.ts";
import { DiskFailures } from "./disk-failures.ts";
import type { Sandbox } from "./sandbox.actor.ts";
import { Timeline } from "./timeline.ts";

const PHASES = ["ready", "stopping", "stopped"] as const satisfies readonly PhaseFact["phase"][];

export class SandboxEntry {
  readonly createdAt: Date;
  exitedAt: Date | undefined;
  readonly timeline: Timeline;
  readonly diskFailures: DiskFailures;
  readonly ended: Promise<Date>;
  /** Ways to a VM that were tried and given up. */
  fallbacks: readonly Fallback[] = [];
  /** Resolves once a later daemon would know what the chart has come to. */
  written: Promise<void> = Promise.resolve();
  private boot: VmBootActor | undefined;
  private phase: PhaseFact["phase"] | undefined;

  /** @param left by an earlier daemon; undefined: the sandbox is new */
  constructor(
    readonly sandbox: Sandbox,
    readonly actor: Actor<typeof sandboxMachine>,
    private readonly now: () => number,
    left?: LeftSandbox,
  ) {
    const known = left?.known.phase;
    this.createdAt = new Date(known?.createdAt ?? now());
    this.exitedAt = known?.exitedAt === undefined ? undefined : new Date(known.exitedAt);
    this.phase = known?.phase;
    this.timeline = new Timeline(now);
    this.timeline.restore(left?.history ?? []);
    this.diskFailures = new DiskFailures(now);
    this.ended = until(actor, (snapshot) => snapshot.matches("stopped")).then(() => this.end());
    actor.subscribe((snapshot) => {
      this.notePhase(snapshot);
      if (snapshot.matches("booting")) return this.watchBoot(snapshot.children[BOOT_ACTOR]);
      this.boot = undefined;
      this.timeline.entered(statePath(snapshot.value));
    });
  }

  /** Sends an event unless the chart has ended: then there is nothing left to ask of it. */
  send(event: SandboxEvent): void {
    if (this.actor.getSnapshot().status === "active") this.actor.send(event);
  }

  /** `booting.cloning`, `ready.running`, … */
  get state(): string {
    const boot = this.boot?.getSnapshot().value;
    return sandboxPath(statePath(this.actor.getSnapshot().value), boot && statePath(boot));
  }

  containerActor(containerId: string): ContainerActor | undefined {
    return this.actor.getSnapshot().children[containerActorId(containerId)];
  }

  private end(): Date {
    this.exitedAt ??= new Date(this.now());
    return this.exitedAt;
  }

  /** One that is not ready yet is undone by a later daemon, and one that has stopped does not begin to stop. */
  private notePhase(snapshot: SandboxSnapshot): void {
    const phase = PHASES.find((each) => snapshot.matches(each));
    if (phase === undefined || phase === this.phase || this.phase === "stopped") return;
    if (this.phase === undefined && phase !== "ready") return;
    this.phase = phase;
    const { failure } = snapshot.context;
    const exitedAt = phase === "stopped" ? this.end().getTime() : undefined;
    const createdAt = this.createdAt.getTime();
    this.written = this.sandbox.resources.fact("phase", { phase, failure, createdAt, exitedAt });
  }

  /** The states of the child chart are steps of the timeline, too. */
  private watchBoot(boot: VmBootActor | undefined): void {
    if (boot === undefined || boot === this.boot) return;
    this.boot = boot;
    const entered = () => {
      const { value, context, status } = boot.getSnapshot();
      this.fallbacks = context.fallbacks;
      // the looks at a guest that is waited for are no steps of their own
      const [step = ""] = statePath(value).split(".");
      if (status === "active") this.timeline.entered(`booting.${step}`);
    };
    entered();
    boot.subscribe(entered);
  }
}
