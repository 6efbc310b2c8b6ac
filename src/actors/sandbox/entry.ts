/**
 * One sandbox of the registry: its chart, its effects, its timeline, and what Wait is waiting for.
 */
import type { Actor } from "xstate";
import { sandboxPath, statePath } from "../../charts/names.ts";
import type { ContainerActor } from "../../machines/container.machine.ts";
import type { sandboxMachine } from "../../machines/sandbox.machine.ts";
import { BOOT_ACTOR, containerActorId, type SandboxEvent } from "../../machines/sandbox.setup.ts";
import type { VmBootActor } from "../../machines/vm-boot.machine.ts";
import type { Fallback } from "../../machines/vm-boot.setup.ts";
import { until } from "../until.ts";
import { DiskFailures } from "./disk-failures.ts";
import type { Sandbox } from "./sandbox.actor.ts";
import { Timeline } from "./timeline.ts";

export class SandboxEntry {
  readonly createdAt: Date;
  exitedAt: Date | undefined;
  readonly timeline: Timeline;
  readonly diskFailures: DiskFailures;
  readonly ended: Promise<Date>;
  /** Ways to a VM that were tried and given up. */
  fallbacks: readonly Fallback[] = [];
  private boot: VmBootActor | undefined;

  constructor(
    readonly sandbox: Sandbox,
    readonly actor: Actor<typeof sandboxMachine>,
    now: () => number,
  ) {
    this.createdAt = new Date(now());
    this.timeline = new Timeline(now);
    this.diskFailures = new DiskFailures(now);
    this.ended = until(actor, (snapshot) => snapshot.matches("stopped")).then(() => {
      this.exitedAt = new Date(now());
      return this.exitedAt;
    });
    actor.subscribe((snapshot) => {
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
