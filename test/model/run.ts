/**
 * One run of the model test: the real actors on a host in memory, and what became of each call.
 */

import { expect, vi } from "vitest";
import { BOOT_ANNOTATION } from "../../src/actors/supply/vm-supply.ts";
import { BlazarError } from "../../src/contracts/errors.ts";
import type { TaskCallOrigin } from "../../src/contracts/task.ts";
import type { Actors } from "../../src/daemon/actors.ts";
import { criSpec } from "../support/cri-spec.ts";
import { MemoryHost } from "../support/memory-host/host.ts";
import { containerRequest, podSpec, putVolumes, withVolumes } from "../support/memory-host/pods.ts";
import { recoverMemory } from "../support/memory-host/recover.ts";
import { rehearsable } from "../support/memory-host/warm-stock.ts";
import { SANDBOXES, type Step, type World } from "./steps.ts";

export const BYSTANDER = "bystander";
const EARLIER = "earlier";

const { process } = criSpec();
const EXEC = { process, stdin: "", stdout: "/f/o", stderr: "", terminal: false };

type CallStep = Extract<Step, { call: string }>;

/** One run: the actors, and what became of each call. */
export class Run {
  readonly memory: MemoryHost;
  actors: Actors;
  /** Calls that have not been answered, by name. */
  readonly open = new Map<string, CallStep>();
  readonly wrong: unknown[] = [];
  /** How often the daemon has died. */
  crashes = 0;
  private calls = 0;
  private faultless = true;
  private dead = false;

  /**
   * What is there in the beginning has no faults until then.
   * @param mortal whether the daemon may die
   */
  static async in(world: World, mortal = false): Promise<Run> {
    const run = new Run(world);
    if (mortal) run.memory.live(() => run.died());
    if (mortal) run.actors = run.memory.actors({ max: world.warm });
    await run.begin(world);
    run.faultless = false;
    for (const id of run.memory.driver.running)
      Object.assign(run.memory.driver.vm(id).guest.faults, world.guest);
    return run;
  }

  private constructor(private readonly world: World) {
    this.memory = new MemoryHost({
      templates: true,
      faults: ({ source }) => (this.faultless ? {} : { ...world.vm[source.kind] }),
      guest: () => ({ ...rehearsable, faults: this.faultless ? {} : { ...world.guest } }),
    });
    const { forks } = this.memory.driver;
    if (forks !== undefined) forks.works = world.forks;
    putVolumes(this.memory.volumes, "state-0");
    this.actors = this.memory.actors({ max: world.warm });
  }

  private async begin({ warm, forks, imageAhead }: World): Promise<void> {
    const { pool, original } = this.actors;
    if (imageAhead) await this.runContainer();
    pool.start();
    await Promise.all([original?.start(), this.pass(0)]);
    if (forks) await this.memory.ports.pace.activity.during(async () => undefined);
    while (pool.size < warm || original?.isThere !== forks) await this.pass(100);
  }

  private async runContainer(): Promise<void> {
    const { sandboxes, tasks } = this.actors;
    const settle = (call: Promise<unknown>) => Promise.all([call, this.pass(10)]);
    await settle(sandboxes.create(podSpec(EARLIER)));
    await settle(sandboxes.start(EARLIER));
    await settle(tasks.create(containerRequest(EARLIER, "c0")));
    await settle(sandboxes.shutdown(EARLIER));
    expect(this.memory.remains()).toEqual([]);
  }

  take(step: Step): void {
    if ("time" in step) return;
    if ("crash" in step) return this.memory.life.endBeforeWrite(step.crash);
    if ("fault" in step) return this.fault(step);
    const name = `${++this.calls} ${JSON.stringify(step)}`;
    this.open.set(name, step);
    this.ask(name, step, false);
  }

  /** Answers of a daemon that has died are nobody's. */
  private ask(name: string, step: CallStep, replayed: boolean): void {
    const { life } = this.memory;
    let answered = false;
    const settle = (error?: unknown) => {
      if (life.isOver) return;
      if (answered) this.wrong.push(`answered twice: ${name}`);
      answered = true;
      this.open.delete(name);
      if (error !== undefined && !(error instanceof BlazarError)) this.wrong.push(error);
    };
    this.call(step, { replayed, token: name }).then(() => settle(), settle);
  }

  /** Lets simulated time pass until nothing moves any more. A daemon that dies meanwhile is replaced. */
  async pass(milliseconds: number): Promise<void> {
    await vi.advanceTimersByTimeAsync(milliseconds);
    while (this.dead) {
      this.succeed();
      await vi.advanceTimersByTimeAsync(0);
    }
  }

  private died(): void {
    this.dead = true;
    this.crashes += 1;
    vi.clearAllTimers();
  }

  /** No original is made anew, which takes long where VMs fail. containerd's calls of the Controller have failed; its Task calls come again. */
  private succeed(): void {
    this.dead = false;
    const { memory } = this;
    memory.restart(() => this.died());
    this.actors = memory.actors({ max: this.world.warm });
    const { pool } = this.actors;
    const { life } = memory;
    const cleared = recoverMemory(memory, this.actors);
    cleared.then(
      () => {
        if (!life.isOver) pool.start();
      },
      (error: unknown) => this.wrong.push(error),
    );
    for (const [name, step] of [...this.open]) {
      if ("container" in step) this.ask(name, step, true);
      else this.open.delete(name);
    }
  }

  /** Shuts everything down; tries again what could not be undone, as kubelet does. */
  async end(): Promise<void> {
    this.memory.faults.clear();
    this.memory.life.endBeforeWrite(Number.POSITIVE_INFINITY);
    for (let round = 0; round < 3; round++) {
      for (const id of this.actors.sandboxes.ids()) this.take({ call: "shutdown", sandbox: id });
      await this.pass(2_000_000);
    }
    const { pool, original } = this.actors;
    await Promise.all([pool.close(), original?.close(), this.pass(2_000_000)]);
  }

  private fault(step: Extract<Step, { fault: string }>): void {
    if (step.fault === "hostStep") this.memory.faults.add(step.step);
    else if (step.fault === "volumes") putVolumes(this.memory.volumes, `state-${step.state}`);
    else if (step.fault === "templates") this.changeTemplates(step.are);
    else if (step.fault === "keeperDies") this.memory.keeper.die();
    else if (step.fault === "images") this.memory.images.available = step.are === "there";
    else if (step.fault === "ownerlessVmDies") this.ownerlessVms()[step.which]?.die(-1, 9);
    else {
      const vm = this.vmOf(step.sandbox);
      if (step.fault === "vmDies") vm?.die(-1, 9);
      else vm?.guest.crash();
    }
  }

  /** The sandbox's VM, whether it was started for it or adopted. */
  private vmOf(sandbox: string) {
    const { sandboxes } = this.actors;
    const known = sandboxes.ids().includes(sandbox) ? sandboxes.status(sandbox).info["vm"] : undefined;
    const vm = this.memory.driver.vms.get(known || sandbox);
    return vm?.exit === undefined ? vm : undefined;
  }

  /** VMs that have journals of their own, and no sandbox. */
  private ownerlessVms() {
    const { driver, journals } = this.memory;
    const own = driver.running.filter((id) => journals.has(id) && !SANDBOXES.includes(id));
    return own.filter((id) => id !== BYSTANDER).map((id) => driver.vm(id));
  }

  private changeTemplates(are: "gone" | "there" | "other"): void {
    const { templates, driver } = this.memory;
    if (templates !== undefined) templates.empty = are === "gone";
    if (driver.templates !== undefined && are === "other") driver.templates.kernel += "+";
  }

  private async call(step: CallStep, origin: TaskCallOrigin): Promise<unknown> {
    const { sandboxes, tasks } = this.actors;
    switch (step.call) {
      case "create":
        return sandboxes.create(spec(step.sandbox, step.asked));
      case "start":
        return sandboxes.start(step.sandbox);
      case "cancelledStart": {
        const controller = new AbortController();
        setTimeout(() => controller.abort(), 1);
        return sandboxes.start(step.sandbox, controller.signal);
      }
      case "stop":
        return sandboxes.stop(step.sandbox, 1000);
      case "shutdown":
        return sandboxes.shutdown(step.sandbox);
      case "waitSandbox":
        return sandboxes.wait(step.sandbox, new AbortController().signal);
      case "createTask":
        return tasks.create(withVolumes(containerRequest(step.sandbox, step.container)), origin);
      case "startTask":
        return tasks.start(step.container, step.execId, origin);
      case "exec":
        return tasks.exec(step.container, "e1", EXEC, origin);
      case "wait":
        return tasks.wait(step.container, step.execId);
      case "delete":
        return tasks.delete(step.container, step.execId);
      case "closeIO":
        return tasks.closeIO(step.container, step.execId);
      case "pids":
        return tasks.pids(step.container);
      case "kill":
        return tasks.kill(step.container, step.execId, step.signal, step.all, origin);
    }
  }
}

export function spec(id: string, asked?: string) {
  const annotations = asked === undefined ? {} : { [BOOT_ANNOTATION]: asked };
  return podSpec(id, { netnsPath: `/run/netns/${id}`, annotations });
}
