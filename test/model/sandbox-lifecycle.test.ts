/**
 * Any order of calls and faults, against the real actors on a host in memory, with simulated time.
 *
 * Three promises hold in each run: every call is answered, once; no answer is anything but a result or a BlazarError; and
 * when everything has been shut down, nothing is left. The model is deliberately no more than that: what each call answers
 * in each state is in the charts' own tests.
 */
import { fc, test } from "@fast-check/vitest";
import { afterEach, beforeEach, describe, expect, vi } from "vitest";
import { ContainerTasks } from "../../src/actors/container/task-service.ts";
import { SandboxRegistry } from "../../src/actors/sandbox/registry.ts";
import { BlazarError, blazarError } from "../../src/contracts/errors.ts";
import { criSpec } from "../support/cri-spec.ts";
import type { GuestFaults } from "../support/fake-guest/guest.ts";
import type { VmFaults } from "../support/fake-vmm/vm.ts";
import { type HostFault, MemoryHost } from "../support/memory-host/host.ts";
import { WarmStock } from "../support/memory-host/warm-stock.ts";

const SANDBOXES = ["s1", "s2"];
const CONTAINERS = ["c1", "c2"];
const PROCESSES = ["", "e1"];

const sandbox = fc.constantFrom(...SANDBOXES);
const container = fc.constantFrom(...CONTAINERS);
const execId = fc.constantFrom(...PROCESSES);

/** One thing that happens. */
type Step =
  | { call: "create" | "start" | "stop" | "shutdown" | "waitSandbox" | "cancelledStart"; sandbox: string }
  | { call: "createTask"; sandbox: string; container: string }
  | { call: "startTask" | "wait" | "delete" | "closeIO"; container: string; execId: string }
  | { call: "exec" | "pids"; container: string }
  | { call: "kill"; container: string; execId: string; signal: number; all: boolean }
  | { fault: "vmDies" | "guestCrashes"; sandbox: string }
  | { fault: "hostStep"; step: HostFault }
  | { time: number };

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({ call: fc.constantFrom("create" as const, "start" as const), sandbox }),
  },
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
        "apply",
        "release",
        "removeTree",
        "makeCgroup",
        "enterCgroup",
        "removeCgroup",
        "connectNetwork",
        "disconnectNetwork",
      ),
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
    ),
  },
);

/** One run: the actors, and what became of each call. */
class Run {
  readonly memory: MemoryHost;
  readonly sandboxes: SandboxRegistry;
  readonly tasks: ContainerTasks;
  readonly open = new Set<string>();
  readonly wrong: unknown[] = [];
  private calls = 0;

  /** VMs in a pool are faultless until they are in it. */
  static async withWarmVms(count: number, vm: VmFaults, guest: GuestFaults): Promise<Run> {
    const run = new Run(vm, guest);
    run.faultless = true;
    const [stock] = await Promise.all([WarmStock.of(run.memory, count), run.pass(10)]);
    run.faultless = false;
    stock.fault(guest);
    run.stock = stock;
    return run;
  }

  private stock: WarmStock | undefined;
  private faultless = false;

  constructor(vm: VmFaults, guest: GuestFaults) {
    this.memory = new MemoryHost({
      faults: () => (this.faultless ? {} : { ...vm }),
      guest: () => ({ faults: this.faultless ? {} : { ...guest } }),
    });
    this.sandboxes = new SandboxRegistry(this.memory.host);
    this.tasks = new ContainerTasks(this.memory.host, this.sandboxes);
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
      for (const id of this.sandboxes.ids()) this.take({ call: "shutdown", sandbox: id });
      await this.pass(2_000_000);
    }
    await Promise.all([this.stock?.end(), this.pass(2_000_000)]);
  }

  private fault(step: Extract<Step, { fault: string }>): void {
    if (step.fault === "hostStep") {
      this.memory.faults.add(step.step);
      return;
    }
    const vm = this.memory.driver.vms.get(step.sandbox);
    if (vm === undefined || vm.exit !== undefined) return;
    if (step.fault === "vmDies") vm.die(-1, 9);
    else vm.guest.crash();
  }

  private async call(step: Extract<Step, { call: string }>): Promise<unknown> {
    switch (step.call) {
      case "create":
        return this.sandboxes.create(spec(step.sandbox));
      case "start":
        return this.sandboxes.start(step.sandbox);
      case "cancelledStart": {
        const controller = new AbortController();
        setTimeout(() => controller.abort(), 1);
        return this.sandboxes.start(step.sandbox, controller.signal);
      }
      case "stop":
        return this.sandboxes.stop(step.sandbox, 1000);
      case "shutdown":
        return this.sandboxes.shutdown(step.sandbox);
      case "waitSandbox":
        return this.sandboxes.wait(step.sandbox, new AbortController().signal);
      case "createTask":
        return this.tasks.create(request(step.sandbox, step.container));
      case "startTask":
        return this.tasks.start(step.container, step.execId);
      case "exec":
        return this.tasks.exec(step.container, "e1", {
          process: criSpec().process,
          stdin: "",
          stdout: "/f/o",
          stderr: "",
          terminal: false,
        });
      case "wait":
        return this.tasks.wait(step.container, step.execId);
      case "delete":
        return this.tasks.delete(step.container, step.execId);
      case "closeIO":
        return this.tasks.closeIO(step.container, step.execId);
      case "pids":
        return this.tasks.pids(step.container);
      case "kill":
        return this.tasks.kill(step.container, step.execId, step.signal, step.all);
    }
  }
}

function spec(id: string) {
  return {
    id,
    hostname: id,
    netnsPath: `/run/netns/${id}`,
    dns: { servers: [], searches: [], options: [] },
    pidMode: "container" as const,
    cgroupParent: "",
    name: id,
    namespace: "default",
    uid: id,
    attempt: 0,
    labels: {},
    annotations: {},
  };
}

function request(sandboxId: string, id: string) {
  const { mounts, ...rest } = criSpec();
  // volumes are refused; everything else of an ordinary container is there
  const ordinary = mounts.filter(({ type }) => type !== "bind");
  return {
    sandboxId,
    id,
    bundle: `/bundles/${id}`,
    rootfs: [{ type: "bind", source: "/layer", target: "", options: ["rbind", "ro"] }],
    stdin: "/f/i",
    stdout: "/f/o",
    stderr: "/f/e",
    terminal: false,
    spec: { ...rest, mounts: ordinary },
  };
}

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
  test.prop([vmFaults, guestFaults, fc.nat(2), someSteps], { numRuns: 400 })(
    "answer every call once and leave nothing, whatever is asked and whatever breaks",
    async (vm, guest, warm, steps) => {
      const run = await Run.withWarmVms(warm, vm, guest);
      for (const each of steps) {
        run.take(each);
        await run.pass("time" in each ? each.time : 0);
      }
      await run.end();
      expect(run.wrong).toEqual([]);
      expect(run.memory.remains()).toEqual([]);
      expect([...run.open]).toEqual([]);
      expect(run.sandboxes.size).toBe(0);
    },
  );

  test.prop([fc.array(step, { minLength: 5, maxLength: 40 })], { numRuns: 100 })(
    "of one pod never touch those of another",
    async (steps) => {
      const run = new Run({}, {});
      const bystander = "bystander";
      await Promise.all([run.sandboxes.create(spec(bystander)), run.pass(10)]);
      await Promise.all([run.sandboxes.start(bystander), run.pass(10)]);
      for (const each of steps) {
        run.take("fault" in each && each.fault === "hostStep" ? { time: 0 } : each);
        await run.pass("time" in each ? each.time : 0);
      }
      expect(run.sandboxes.status(bystander).phase).toBe("ready");
      await run.end();
      expect(run.wrong).toEqual([]);
      expect(run.memory.remains()).toEqual([]);
    },
  );
});
