/**
 * Any order of calls and faults, against the real actors on a host in memory, with simulated time.
 *
 * The driver boots, clones and forks; there is a pool, and an original; templates and images come and go. Three promises hold in each
 * history. Every call is answered, once. No answer is anything but a result or a BlazarError. When everything has been shut
 * down, nothing is left: no VM, no resource, no journal, no lease on a template or an image, no turn, no user of a VMM. No image is
 * given back while a VM has it. What each call answers in each state is in the charts' own tests.
 *
 * `npm run test:model -- --runs N` takes any number of histories.
 */
import { fc, test } from "@fast-check/vitest";
import { afterEach, beforeEach, describe, expect, vi } from "vitest";
import { BOOT_ANNOTATION } from "../../src/actors/supply/vm-supply.ts";
import { BlazarError, blazarError } from "../../src/contracts/errors.ts";
import type { VmSource } from "../../src/contracts/vm.ts";
import type { Actors } from "../../src/daemon/actors.ts";
import { criSpec } from "../support/cri-spec.ts";
import type { GuestFaults } from "../support/fake-guest/guest.ts";
import type { VmFaults } from "../support/fake-vmm/vm.ts";
import { type HostFault, MemoryHost } from "../support/memory-host/host.ts";
import { containerRequest, podSpec, putVolumes, withVolumes } from "../support/memory-host/pods.ts";
import { rehearsable } from "../support/memory-host/warm-stock.ts";
import { historyProblems } from "./histories.ts";

/** Histories of the first property; the second takes a quarter of it. */
const RUNS = Number(process.env["BLAZAR_MODEL_RUNS"] ?? 2_000);

const SANDBOXES = ["s1", "s2"];
const BYSTANDER = "bystander";
const EARLIER = "earlier";
const CONTAINERS = ["c1", "c2"];
const PROCESSES = ["", "e1"];

const sandbox = fc.constantFrom(...SANDBOXES);
const container = fc.constantFrom(...CONTAINERS);
const execId = fc.constantFrom(...PROCESSES);

/** One thing that happens. */
type Step =
  | { call: "create"; sandbox: string; asked: string | undefined }
  | { call: "start" | "stop" | "shutdown" | "waitSandbox" | "cancelledStart"; sandbox: string }
  | { call: "createTask"; sandbox: string; container: string }
  | { call: "startTask" | "wait" | "delete" | "closeIO"; container: string; execId: string }
  | { call: "exec" | "pids"; container: string }
  | { call: "kill"; container: string; execId: string; signal: number; all: boolean }
  | { fault: "vmDies" | "guestCrashes"; sandbox: string }
  | { fault: "hostStep"; step: HostFault }
  | { fault: "volumes"; state: number }
  /** Of those that no sandbox owns: the pool's and the original. */
  | { fault: "ownerlessVmDies"; which: number }
  | { fault: "templates"; are: "gone" | "there" | "other" }
  | { fault: "images"; are: "gone" | "there" }
  | { time: number };

/** What a pod asks for; mostly nothing. */
const way = fc.constantFrom(undefined, undefined, undefined, "pool", "clone", "cold");

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 3, arbitrary: fc.record({ call: fc.constant("create" as const), sandbox, asked: way }) },
  { weight: 4, arbitrary: fc.record({ call: fc.constant("start" as const), sandbox }) },
  {
    weight: 3,
    arbitrary: fc.record({
      call: fc.constantFrom(
        "stop" as const,
        "shutdown" as const,
        "waitSandbox" as const,
        "cancelledStart" as const,
      ),
      sandbox,
    }),
  },
  { weight: 5, arbitrary: fc.record({ call: fc.constant("createTask" as const), sandbox, container }) },
  {
    weight: 8,
    arbitrary: fc.record({
      call: fc.constantFrom("startTask" as const, "wait" as const, "delete" as const, "closeIO" as const),
      container,
      execId,
    }),
  },
  { weight: 3, arbitrary: fc.record({ call: fc.constantFrom("exec" as const, "pids" as const), container }) },
  {
    weight: 3,
    arbitrary: fc.record({
      call: fc.constant("kill" as const),
      container,
      execId,
      signal: fc.constantFrom(9, 15, 17),
      all: fc.boolean(),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ fault: fc.constantFrom("vmDies" as const, "guestCrashes" as const), sandbox }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      fault: fc.constant("hostStep" as const),
      step: fc.constantFrom<HostFault>(
        "makeDirectory",
        "plan",
        "apply",
        "release",
        "removeTree",
        "makeCgroup",
        "enterCgroup",
        "removeCgroup",
        "connectNetwork",
        "disconnectNetwork",
        "planVolumes",
        "mountVolume",
        "unmountVolume",
      ),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ fault: fc.constant("ownerlessVmDies" as const), which: fc.nat(3) }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      fault: fc.constant("templates" as const),
      are: fc.constantFrom("gone" as const, "there" as const, "other" as const),
    }),
  },
  { weight: 2, arbitrary: fc.record({ fault: fc.constant("volumes" as const), state: fc.nat(3) }) },
  {
    weight: 1,
    arbitrary: fc.record({
      fault: fc.constant("images" as const),
      are: fc.constantFrom("gone" as const, "there" as const),
    }),
  },
  { weight: 4, arbitrary: fc.record({ time: fc.constantFrom(0, 1, 100, 5_000, 200_000) }) },
);

const vmFaults: fc.Arbitrary<VmFaults> = fc.oneof(
  { weight: 6, arbitrary: fc.constant<VmFaults>({}) },
  {
    weight: 4,
    arbitrary: fc.constantFrom<VmFaults>(
      { launch: "fails" },
      { launch: "hangs" },
      { agentLink: "silent" },
      { agentLink: "garbage" },
      { agentLink: "closes" },
      { agentLink: "refuses" },
      { attachDisk: "hangs" },
      { attachDisk: blazarError("QmpFailed", "attach", "no") },
      { detachDisk: blazarError("QmpFailed", "detach", "no") },
      { attachImage: "hangs" },
      { attachImage: blazarError("QmpFailed", "attach", "no") },
      { detachImage: "hangs" },
      { detachImage: blazarError("QmpFailed", "detach", "no") },
    ),
  },
);

const guestFaults: fc.Arbitrary<GuestFaults> = fc.oneof(
  { weight: 6, arbitrary: fc.constant<GuestFaults>({}) },
  {
    weight: 4,
    arbitrary: fc.constantFrom<GuestFaults>(
      { silent: true },
      { helloVersion: 99 },
      { badHello: true },
      { hangs: new Set(["sandbox.setup"]) },
      { hangs: new Set(["image.prepare"]) },
      { hangs: new Set(["container.create"]) },
      { hangs: new Set(["container.delete"]) },
      { hangs: new Set(["process.start"]) },
      { hangs: new Set(["sandbox.shutdown"]) },
      { noise: new Set(["container.create"]) },
      { nonsense: new Set(["container.create"]) },
      { breaks: new Set(["process.start"]) },
      {
        fails: {
          "container.create": blazarError("CommandNotFound", "run", "no such file"),
        },
      },
      { mountImage: blazarError("ImageBroken", "mount an image", "no") },
    ),
  },
);

/** What is wrong with VMs of each source, and how many are warm when a history begins. */
interface World {
  readonly vm: Readonly<Record<VmSource["kind"], VmFaults>>;
  readonly guest: GuestFaults;
  readonly warm: number;
  /** The node forks, and has an original when the history begins. */
  readonly forks: boolean;
  /** A container has run before, so that warm VMs have its image ahead. */
  readonly imageAhead: boolean;
}

const FAULTLESS: World = {
  vm: { boot: {}, clone: {}, fork: {} },
  guest: {},
  warm: 0,
  forks: false,
  imageAhead: false,
};

/** One run: the actors, and what became of each call. */
class Run {
  readonly memory: MemoryHost;
  readonly actors: Actors;
  readonly open = new Set<string>();
  readonly wrong: unknown[] = [];
  private calls = 0;
  private faultless = true;

  /** What is there in the beginning has no faults until then. */
  static async in(world: World): Promise<Run> {
    const run = new Run(world);
    await run.begin(world);
    run.faultless = false;
    for (const id of run.memory.driver.running)
      Object.assign(run.memory.driver.vm(id).guest.faults, world.guest);
    return run;
  }

  private constructor(world: World) {
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
    if ("fault" in step) return this.fault(step);
    const name = `${++this.calls} ${JSON.stringify(step)}`;
    this.open.add(name);
    let answered = false;
    const settle = (error?: unknown) => {
      if (answered) this.wrong.push(`answered twice: ${name}`);
      answered = true;
      this.open.delete(name);
      if (error !== undefined && !(error instanceof BlazarError)) this.wrong.push(error);
    };
    this.call(step).then(() => settle(), settle);
  }

  /** Lets simulated time pass until nothing moves any more. */
  async pass(milliseconds: number): Promise<void> {
    await vi.advanceTimersByTimeAsync(milliseconds);
  }

  /** Shuts everything down; tries again what could not be undone, as kubelet does. */
  async end(): Promise<void> {
    this.memory.faults.clear();
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

  private async call(step: Extract<Step, { call: string }>): Promise<unknown> {
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
        return tasks.create(withVolumes(containerRequest(step.sandbox, step.container)));
      case "startTask":
        return tasks.start(step.container, step.execId);
      case "exec":
        return tasks.exec(step.container, "e1", {
          process: criSpec().process,
          stdin: "",
          stdout: "/f/o",
          stderr: "",
          terminal: false,
        });
      case "wait":
        return tasks.wait(step.container, step.execId);
      case "delete":
        return tasks.delete(step.container, step.execId);
      case "closeIO":
        return tasks.closeIO(step.container, step.execId);
      case "pids":
        return tasks.pids(step.container);
      case "kill":
        return tasks.kill(step.container, step.execId, step.signal, step.all);
    }
  }
}

function spec(id: string, asked?: string) {
  const annotations = asked === undefined ? {} : { [BOOT_ANNOTATION]: asked };
  return podSpec(id, { netnsPath: `/run/netns/${id}`, annotations });
}

const worlds: fc.Arbitrary<World> = fc.record({
  vm: fc.record({ boot: vmFaults, clone: vmFaults, fork: vmFaults }),
  guest: guestFaults,
  warm: fc.nat(2),
  forks: fc.boolean(),
  imageAhead: fc.boolean(),
});

describe("sandboxes", () => {
  beforeEach(() => {
    vi.useFakeTimers({
      toFake: ["setTimeout", "clearTimeout", "setInterval", "clearInterval", "Date", "performance"],
    });
  });

  afterEach(() => {
    vi.useRealTimers();
  });

  const someSteps = fc.array(step, { minLength: 1, maxLength: 40 });
  test.prop([worlds, someSteps], { numRuns: RUNS })(
    "answer every call once and leave nothing, whatever is asked and whatever breaks",
    async (world, steps) => {
      const run = await Run.in(world);
      for (const each of steps) {
        run.take(each);
        await run.pass("time" in each ? each.time : 0);
      }
      await run.end();
      expect(run.wrong).toEqual([]);
      expect(run.memory.remains()).toEqual([]);
      expect(historyProblems(run.memory.histories)).toEqual([]);
      expect([...run.open]).toEqual([]);
      expect(run.actors.sandboxes.size).toBe(0);
    },
  );

  test.prop([fc.array(step, { minLength: 5, maxLength: 40 })], { numRuns: Math.ceil(RUNS / 4) })(
    "of one pod never touch those of another",
    async (steps) => {
      const run = await Run.in({ ...FAULTLESS, warm: 1, forks: true, imageAhead: true });
      await Promise.all([run.actors.sandboxes.create(spec(BYSTANDER)), run.pass(10)]);
      await Promise.all([run.actors.sandboxes.start(BYSTANDER), run.pass(10)]);
      for (const each of steps) {
        run.take("fault" in each && each.fault === "hostStep" ? { time: 0 } : each);
        await run.pass("time" in each ? each.time : 0);
      }
      expect(run.actors.sandboxes.status(BYSTANDER).phase).toBe("ready");
      await run.end();
      expect(run.wrong).toEqual([]);
      expect(run.memory.remains()).toEqual([]);
    },
  );
});
