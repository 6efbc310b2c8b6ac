/**
 * Follows the command generator of the model test (test/model/steps.ts) against a real node: a step is a call of CRI or a kill.
 *
 * A step that makes no sense at the moment does what has to come first, such as running its pod. So every step does something.
 */
import { pause } from "../../src/lib/async.ts";
import type { Step } from "../../test/model/steps.ts";
import { type ChaosContainer, type ChaosContext, ChaosPod } from "./chaos-pod.ts";
import type { ContainerKind } from "./containers.ts";
import type { Killer } from "./killer.ts";
import type { Kill } from "./record.ts";

/** Longer pauses of the model are of simulated time. */
const MOST_PAUSE_MS = 1_000;
const MOST_CONTAINERS = 3;
const SIGTERM = 15;

/** What the model's faults are here; another one of the model's is the daemon's death. */
const KILL_OF_FAULT: Readonly<Record<string, Kill>> = {
  vmDies: "vmm",
  guestCrashes: "hang",
  hostStep: "daemon",
  images: "containerd",
  templates: "term",
  volumes: "keeper",
  keeperDies: "keeper",
  ownerlessVmDies: "spare",
};

const KINDS: readonly ContainerKind[] = ["counter", "burst", "echo"];

export class Worker {
  readonly pods = new Map<string, ChaosPod>();
  private serial = 0;

  constructor(
    private readonly name: string,
    private readonly context: ChaosContext,
    private readonly killer: Killer,
  ) {}

  /** Takes steps until the time is over. */
  async follow(steps: readonly Step[], signal: AbortSignal): Promise<void> {
    for (const step of steps) {
      if (signal.aborted) return;
      await this.take(step, signal);
    }
  }

  async removeAll(): Promise<void> {
    for (const [slot, pod] of this.pods) {
      await pod.remove();
      this.pods.delete(slot);
    }
  }

  private async take(step: Step, signal: AbortSignal): Promise<void> {
    if ("time" in step) return await pause(Math.min(step.time, MOST_PAUSE_MS), signal);
    if ("call" in step) return await this.call(step);
    const slot = "sandbox" in step ? step.sandbox : undefined;
    const victim = [...this.pods.values()].find(
      (pod) => pod.isReady && (slot === undefined || pod === this.pods.get(slot)),
    );
    const fault = "fault" in step ? step.fault : undefined;
    this.killer.request(KILL_OF_FAULT[fault ?? ""] ?? "daemon", victim);
  }

  private async call(step: Extract<Step, { call: string }>): Promise<void> {
    switch (step.call) {
      case "create":
      case "start":
      case "cancelledStart":
        return void (await this.ready(step.sandbox));
      case "waitSandbox":
        return await (await this.ready(step.sandbox))?.status();
      case "stop":
        return await this.leave(step.sandbox, false);
      case "shutdown":
        return await this.leave(step.sandbox, true);
      case "createTask":
        return await this.startContainer(step.sandbox);
      case "exec":
        return await this.withContainer(async (pod, container) => pod.exec(container, "sync"));
      case "startTask": {
        const how = step.execId === "" ? "input" : "slow";
        return await this.withContainer(async (pod, container) => pod.exec(container, how));
      }
      case "wait":
        return await this.withContainer((pod, container) => {
          const counter = container.kind === "counter" ? container : undefined;
          return counter === undefined ? pod.stats(container) : pod.watch(counter);
        });
      case "pids":
        return await this.withContainer((pod, container) => pod.stats(container));
      case "closeIO":
        return await this.type();
      case "delete":
        return await this.endContainer("kill-signal");
      case "kill":
        return await this.endContainer(step.signal === SIGTERM ? "term-signal" : "kill-signal");
    }
  }

  /** The pod of a slot, run if there is none; one that has lost its VM is removed first. */
  private async ready(slot: string): Promise<ChaosPod | undefined> {
    const present = this.pods.get(slot);
    if (present?.isReady === true) return present;
    await this.leave(slot, true);
    const pod = new ChaosPod(this.context, `${this.name}-${slot}-${++this.serial}`);
    if (!(await pod.run())) return undefined;
    this.pods.set(slot, pod);
    return pod;
  }

  private async leave(slot: string, wholly: boolean): Promise<void> {
    const pod = this.pods.get(slot);
    if (pod === undefined) return;
    if (!wholly) return await pod.stop();
    await pod.remove();
    this.pods.delete(slot);
  }

  private async startContainer(slot: string): Promise<void> {
    const pod = await this.ready(slot);
    if (pod === undefined) return;
    const ended = [...pod.containers.values()].find(({ kind }) => kind === "burst");
    if (ended !== undefined) await pod.removeContainer(ended, "kill-signal");
    const [oldest] = pod.containers.values();
    if (pod.containers.size >= MOST_CONTAINERS && oldest !== undefined)
      await pod.removeContainer(oldest, "kill-signal");
    const kind = KINDS[++this.serial % KINDS.length];
    if (kind !== undefined) await pod.startContainer(kind);
  }

  /** Any container that runs, of any of the pods. */
  private async withContainer(
    act: (pod: ChaosPod, container: ChaosContainer) => Promise<void>,
  ): Promise<void> {
    for (const pod of this.pods.values()) {
      const container = pod.isReady ? pod.runningContainer() : undefined;
      if (container !== undefined) return await act(pod, container);
    }
    const [slot = "s1"] = this.pods.keys();
    await this.startContainer(slot);
  }

  private async type(): Promise<void> {
    for (const pod of this.pods.values()) {
      const echo = [...pod.containers.values()].find(
        ({ kind, started, unsure }) => kind === "echo" && started && !unsure,
      );
      if (pod.isReady && echo !== undefined) return await pod.typeInto(echo);
    }
  }

  private async endContainer(cause: "term-signal" | "kill-signal"): Promise<void> {
    for (const pod of this.pods.values()) {
      const [container] = pod.containers.values();
      if (container !== undefined) return await pod.removeContainer(container, cause);
    }
  }
}
