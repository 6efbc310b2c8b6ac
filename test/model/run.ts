/**
 * One run of the model test: the real actors on a host in memory, and what became of each call.
 */

import { expect, vi } from "vitest";
import { BOOT_ANNOTATION } from "../../src/actors/supply/vm-supply.ts";
import { BlazarError } from "../../src/contracts/errors.ts";
import type { TaskCallOrigin } from "../../src/contracts/task.ts";
import type { Actors } from "../../src/daemon/actors.ts";
import { criSpec } from "../support/cri-spec.ts";
import type { FakeVm } from "../support/fake-vmm/vm.ts";
import { unclaimed } from "../support/memory-host/claims.ts";
import { MemoryHost } from "../support/memory-host/host.ts";
import { containerRequest, podSpec, putVolumes, withVolumes } from "../support/memory-host/pods.ts";
import { recoverMemory } from "../support/memory-host/recover.ts";
import { rehearsable } from "../support/memory-host/warm-stock.ts";
import { Kept } from "./kept.ts";
import { CONTAINERS, SANDBOXES, type Step, type World } from "./steps.ts";
import { Told } from "./told.ts";

const BYSTANDER = "bystander";
const EARLIER = "earlier";
/** Of a container that ends while there is no daemon. */
const EXIT_STATUS = 7;
/** The end is looked for after so long each: most histories have ended at once. */
/** A sandbox with nothing wrong is taken over within this time. */
const TAKE_OVER_MS = [0, 1, 10, 100, 1000];
const ENDING_MS = [0, 100, 6_000, 40_000, 200_000, 700_000, 2_000_000, 2_000_000];

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
  readonly told: Told;
  /** How often the daemon has died. */
  crashes = 0;
  private calls = 0;
  private faultless = true;
  private dead = false;
  /** Whether the next daemon is looked at before anything else is asked of it. */
  private looks = true;
  /** Whether containers end while there is no daemon. */
  private exits = false;
  /** VMs that something was done to. */
  private readonly hurt = new Set<string>();

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
    this.told = new Told(this.memory.events);
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

  /** A pod that nobody does anything to. Returns a look at what has become of it: sentences. */
  async startBystander(): Promise<() => string[]> {
    const { sandboxes, tasks } = this.actors;
    const done = (call: Promise<unknown>) => Promise.all([call, this.pass(10)]);
    await done(sandboxes.create(spec(BYSTANDER)));
    await done(sandboxes.start(BYSTANDER));
    await done(tasks.create(withVolumes(containerRequest(BYSTANDER, BYSTANDER))));
    await done(tasks.start(BYSTANDER, ""));
    const kept = new Kept(
      this.memory,
      () => true,
      () => false,
    );
    return () => kept.problems(this.actors);
  }

  /** Nobody dies any more, and what was under way is over. */
  async settle(): Promise<void> {
    this.immortal();
    for (const milliseconds of TAKE_OVER_MS) await this.pass(milliseconds);
  }

  private immortal(): void {
    this.memory.life.endBeforeWrite(Number.POSITIVE_INFINITY);
    this.memory.life.endWithinCall(Number.POSITIVE_INFINITY);
  }

  take(step: Step): void {
    if ("time" in step) return;
    if ("crash" in step) return this.crash(step);
    if ("fault" in step) return this.fault(step);
    const name = `${++this.calls} ${JSON.stringify(step)}`;
    this.open.set(name, step);
    this.ask(name, step, false);
  }

  /** Answers of a daemon that has died are nobody's. */
  private ask(name: string, step: CallStep, replayed: boolean): void {
    const { life } = this.memory;
    let answered = false;
    const settle = (take: () => void) => {
      if (life.isOver) return;
      if (answered) this.wrong.push(`answered twice: ${name}`);
      answered = true;
      this.open.delete(name);
      take();
    };
    this.call(step, { replayed, token: name }).then(
      (result) => settle(() => this.succeeded(step, result)),
      (error: unknown) => settle(() => this.failed(step, error)),
    );
  }

  private crash({ crash, at, look, exits }: Extract<Step, { crash: number }>): void {
    this.looks = look;
    this.exits = exits;
    if (at === "write") this.memory.life.endBeforeWrite(crash);
    else this.memory.life.endWithinCall(crash);
  }

  private succeeded(step: CallStep, result: unknown): void {
    const { told } = this;
    if (step.call === "createTask") told.begins(step.container, "");
    else if (step.call === "exec") told.begins(step.container, "e1");
    else if (step.call === "wait" || step.call === "delete")
      told.answered(step.container, step.execId, (result as { exitStatus: number }).exitStatus);
    else if (step.call === "stop") this.stopped(step.sandbox);
  }

  private failed(step: CallStep, error: unknown): void {
    if (!(error instanceof BlazarError)) this.wrong.push(error);
    else if (step.call === "stop" && error.code !== "SandboxNotFound") this.wrong.push(error);
  }

  /** However often it was asked for. */
  private stopped(sandbox: string): void {
    const { sandboxes, tasks } = this.actors;
    if (!sandboxes.ids().includes(sandbox)) return;
    const { phase } = sandboxes.status(sandbox);
    if (phase !== "stopped" && phase !== "failed") this.wrong.push(`${sandbox} was stopped and is ${phase}`);
    // one whose creation is being called off was never there
    const isMade = (id: string) =>
      ![...this.open.values()].some((step) => step.call === "createTask" && step.container === id);
    for (const container of CONTAINERS.filter(isMade))
      if (tasks.sandboxOf(container) === sandbox && tasks.state(container, "").status !== "stopped")
        this.wrong.push(`${container} is ${tasks.state(container, "").status} in a sandbox that was stopped`);
  }

  /** Lets simulated time pass until nothing moves any more. A daemon that dies meanwhile is replaced. */
  async pass(milliseconds: number): Promise<void> {
    await vi.advanceTimersByTimeAsync(milliseconds);
    while (this.dead) await this.succeed();
    this.wrong.push(...unclaimed(this.memory));
    this.told.hear();
  }

  private died(): void {
    this.dead = true;
    this.crashes += 1;
    vi.clearAllTimers();
  }

  /** No original is made anew, which takes long where VMs fail. containerd's calls of the Controller have failed; its Task calls come again. */
  private async succeed(): Promise<void> {
    this.dead = false;
    const { memory } = this;
    // no guest reaches the dead daemon any more
    memory.driver.daemonDies();
    if (this.exits)
      for (const id of memory.driver.running)
        for (const container of CONTAINERS) memory.driver.vm(id).guest.endContainer(container, EXIT_STATUS);
    const kept = new Kept(
      memory,
      (vm) => this.isWell(vm),
      (container) => [...this.open.values()].some((step) => mayChange(step, container)),
    );
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
    await vi.advanceTimersByTimeAsync(0);
    if (!this.looks || this.dead) return;
    for (const milliseconds of TAKE_OVER_MS) {
      await vi.advanceTimersByTimeAsync(milliseconds);
      if (this.dead) return;
      if (!kept.isUnderWay(this.actors)) break;
    }
    this.wrong.push(...kept.problems(this.actors));
  }

  /** Nothing is wrong with it, whatever is wrong with others. */
  private isWell({ id, faults, guest }: FakeVm): boolean {
    return !this.hurt.has(id) && Object.keys(faults).length + Object.keys(guest.faults).length === 0;
  }

  /** Shuts everything down; tries again what could not be undone, as kubelet does. */
  async end(): Promise<void> {
    this.memory.faults.clear();
    this.immortal();
    const { pool, original } = this.actors;
    let closed = false;
    const closing = Promise.all([pool.close(), original?.close()]).then(() => {
      closed = true;
    });
    // what cannot be undone is tried again after half a minute
    for (const milliseconds of ENDING_MS) {
      for (const id of this.actors.sandboxes.ids()) this.take({ call: "shutdown", sandbox: id });
      await this.pass(milliseconds);
      if (closed && this.isQuiet) break;
    }
    await Promise.race([closing, this.pass(0)]);
    this.told.end();
    this.wrong.push(...this.told.problems);
  }

  /** Nothing is there any more that could be asked for. */
  private get isQuiet(): boolean {
    return this.actors.sandboxes.size === 0 && this.open.size === 0 && this.memory.remains().length === 0;
  }

  private fault(step: Extract<Step, { fault: string }>): void {
    if (step.fault === "hostStep") this.memory.faults.add(step.step);
    else if (step.fault === "volumes") putVolumes(this.memory.volumes, `state-${step.state}`);
    else if (step.fault === "templates") this.changeTemplates(step.are);
    else if (step.fault === "keeperDies") this.keeperDies();
    else if (step.fault === "images") this.memory.images.available = step.are === "there";
    else if (step.fault === "ownerlessVmDies") this.ownerlessVms()[step.which]?.die(-1, 9);
    else {
      const vm = this.vmOf(step.sandbox);
      if (vm !== undefined) this.hurt.add(vm.id);
      if (step.fault === "vmDies") vm?.die(-1, 9);
      else vm?.guest.crash();
    }
  }

  /** containerd takes all containers for ended and asks no more, so that they are ended: nobody is told of it. */
  private keeperDies(): void {
    for (const id of this.memory.driver.running) this.hurt.add(id);
    this.told.forgetRunning();
    this.memory.keeper.die();
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

/** Whether a call that comes again may start or end a process of the container. */
function mayChange(step: CallStep, container: string): boolean {
  return (
    "container" in step && step.container === container && ["startTask", "kill", "delete"].includes(step.call)
  );
}

function spec(id: string, asked?: string) {
  const annotations = asked === undefined ? {} : { [BOOT_ANNOTATION]: asked };
  return podSpec(id, { netnsPath: `/run/netns/${id}`, annotations });
}
