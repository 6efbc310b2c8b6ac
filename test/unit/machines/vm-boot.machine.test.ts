/** The chart of a VM's start alone: stubbed effects, simulated time. */
import { Subject } from "rxjs";
import { describe, expect, it } from "vitest";
import { createActor, fromEventObservable, fromPromise, SimulatedClock } from "xstate";
import { DEFAULT_DEADLINES } from "../../../src/contracts/deadlines.ts";
import { blazarError } from "../../../src/contracts/errors.ts";
import { vmBootMachine } from "../../../src/machines/vm-boot.machine.ts";
import type { AcquireInput, VmBootEvent, VmOrigin } from "../../../src/machines/vm-boot.setup.ts";

const EFFECTS = [
  ...["acquire", "adopt", "fork", "clone", "boot", "connectAgent", "examine", "setUpGuest"],
] as const;
type Effect = (typeof EFFECTS)[number];

const boom = blazarError("VmmFailed", "start the VMM", "boom");
const settle = () => new Promise((resolve) => setImmediate(resolve));

/** A chart whose effects end when the test says so. */
class Bench {
  readonly clock = new SimulatedClock();
  readonly inputs: AcquireInput[] = [];
  readonly aborted: Effect[] = [];
  readonly told: VmOrigin[] = [];
  readonly vmm$ = new Subject<VmBootEvent>();
  private readonly open = new Map<Effect, PromiseWithResolvers>();
  readonly actor;

  constructor() {
    const effect = (name: Effect) =>
      fromPromise<never, AcquireInput>(
        ({ input, signal }) =>
          new Promise((resolve, reject) => {
            if (name === "acquire") this.inputs.push(input);
            this.open.set(name, { resolve, reject });
            signal.addEventListener("abort", () => this.aborted.push(name));
          }),
      );
    const actors = Object.fromEntries(EFFECTS.map((name) => [name, effect(name)]));
    this.actor = createActor(
      vmBootMachine.provide({
        actors: { ...actors, vmm: fromEventObservable(() => this.vmm$) },
        actions: { tellFallback: (_, { from }) => this.told.push(from) },
      }),
      { input: { vmId: "s1", deadlines: DEFAULT_DEADLINES }, clock: this.clock },
    );
    this.actor.start();
  }

  get state(): unknown {
    return this.actor.getSnapshot().value;
  }

  get context() {
    return this.actor.getSnapshot().context;
  }

  async succeed(name: Effect, value: unknown = undefined): Promise<void> {
    this.take(name).resolve(value as never);
    await settle();
  }

  async fail(name: Effect): Promise<void> {
    this.take(name).reject(boom);
    await settle();
  }

  async pass(milliseconds: number): Promise<void> {
    this.clock.increment(milliseconds);
    await settle();
  }

  /** `fails`: at once. `is late`: at its deadline. */
  async give(name: Effect, how: "fails" | "is late", deadline: "adopt" | "launch"): Promise<void> {
    if (how === "fails") return this.fail(name);
    await this.pass(DEFAULT_DEADLINES[deadline]);
    expect(this.aborted).toContain(name);
  }

  private take(name: Effect): PromiseWithResolvers {
    const found = this.open.get(name);
    if (found === undefined) throw new Error(`${name} is not under way`);
    this.open.delete(name);
    return found;
  }
}

interface PromiseWithResolvers {
  resolve(value: never): void;
  reject(error: unknown): void;
}

const HOW = ["fails", "is late"] as const;

describe("the start of a VM", () => {
  it.each([
    ["fork", "forking", "fork"],
    ["clone", "cloning", "clone"],
    ["boot", "booting", "boot"],
  ] as const)("by %s waits for the agent and for the guest's set-up", async (origin, state, effect) => {
    const bench = new Bench();
    expect(bench.state).toBe("queued");
    await bench.succeed("acquire", { origin });
    expect([bench.state, bench.context.origin]).toEqual([state, origin]);
    await bench.succeed(effect, { pid: 4711 });
    expect(bench.state).toEqual({ awaitingAgent: "listening" });
    await bench.succeed("connectAgent");
    expect(bench.state).toBe("settingUp");
    await bench.succeed("setUpGuest");
    expect(bench.actor.getSnapshot()).toMatchObject({
      value: "ready",
      output: { pid: 4711, failure: undefined },
    });
    expect(bench.told).toEqual([]);
  });

  it("with a warm VM waits for no agent", async () => {
    const bench = new Bench();
    await bench.succeed("acquire", { origin: "warm" });
    expect(bench.state).toBe("adopting");
    await bench.succeed("adopt", { pid: 12 });
    expect(bench.state).toBe("settingUp");
    await bench.succeed("setUpGuest");
    expect(bench.actor.getSnapshot().output).toEqual({ pid: 12, failure: undefined });
  });

  it.each(HOW)("goes back to the queue for a fresh VM where an adoption %s, and says so", async (how) => {
    const bench = new Bench();
    await bench.succeed("acquire", { origin: "warm" });
    await bench.give("adopt", how, "adopt");
    expect(bench.state).toBe("queued");
    expect(bench.inputs.map(({ fresh }) => fresh)).toEqual([false, true]);
    expect(bench.told).toEqual(["warm"]);
    await bench.succeed("acquire", { origin: "clone" });
    expect([bench.state, bench.context.origin]).toEqual(["cloning", "clone"]);
    expect(bench.context.failure).toBeUndefined();
  });

  it.each(HOW)("clones where a fork %s, boots where a clone does, and says so", async (how) => {
    const bench = new Bench();
    await bench.succeed("acquire", { origin: "fork" });
    await bench.give("fork", how, "launch");
    expect(bench.state).toBe("cloning");
    await bench.give("clone", how, "launch");
    expect([bench.state, bench.context.origin]).toEqual(["booting", "boot"]);
    expect(bench.told).toEqual(["fork", "clone"]);
    const code = how === "fails" ? "VmmFailed" : "DeadlineExceeded";
    expect(bench.context.fallbacks.map(({ failure }) => failure.code)).toEqual([code, code]);
    expect(bench.context.failure).toBeUndefined();
  });

  it.each([
    ["acquire", "startQueue", "DeadlineExceeded", []],
    ["boot", "launch", "DeadlineExceeded", ["acquire"]],
    ["connectAgent", "agentHello", "GuestNotReady", ["acquire", "boot"]],
    ["setUpGuest", "guestSetup", "DeadlineExceeded", ["acquire", "boot", "connectAgent"]],
  ] as const)("gives up %s at its deadline", async (effect, deadline, code, path) => {
    const bench = new Bench();
    for (const step of path) await bench.succeed(step, { pid: 1, origin: "boot" });
    await bench.pass(DEFAULT_DEADLINES[deadline] - 1);
    expect(bench.actor.getSnapshot().status).toBe("active");
    await bench.pass(1);
    expect(bench.state).toBe("failed");
    expect(bench.aborted).toContain(effect);
    expect(bench.actor.getSnapshot().output?.failure?.code).toBe(code);
  });

  it.each(["acquire", "boot", "connectAgent", "setUpGuest"] as const)(
    "fails with what %s fails with",
    async (last) => {
      const bench = new Bench();
      for (const step of EFFECTS.filter((name) => !["adopt", "fork", "clone", "examine"].includes(name))) {
        if (step === last) break;
        await bench.succeed(step, { pid: 1, origin: "boot" });
      }
      await bench.fail(last);
      expect(bench.actor.getSnapshot().output?.failure).toMatchObject({ code: "VmmFailed", reason: "boom" });
    },
  );

  it.each([
    [{ type: "vmm.exited", code: -1, signal: 9 }, "VmmExited"],
    [{ type: "vmm.guestPanicked" }, "GuestFailed"],
    [{ type: "vmm.guestShutdown", reason: "guest-shutdown" }, "GuestFailed"],
  ] as const)("fails when the VMM reports %o", async (event, code) => {
    const bench = new Bench();
    await bench.succeed("acquire", { origin: "boot" });
    await bench.succeed("boot", { pid: 1 });
    bench.vmm$.next(event);
    await settle();
    expect(bench.actor.getSnapshot().output?.failure?.code).toBe(code);
  });

  describe.each([
    ["fork", "cloning"],
    ["clone", "booting"],
  ] as const)("by a %s that does not come up", (origin, next) => {
    async function copied(): Promise<Bench> {
      const bench = new Bench();
      await bench.succeed("acquire", { origin });
      await bench.succeed(origin, { pid: 1 });
      return bench;
    }

    function expectNextWay(bench: Bench, code: string): void {
      expect(bench.state).toBe(next);
      expect(bench.told).toEqual([origin]);
      expect(bench.context.fallbacks).toMatchObject([{ from: origin, failure: { code } }]);
      expect(bench.vmm$.observed).toBe(false);
    }

    it.each([
      [{ type: "vmm.exited", code: -1, signal: 11 }, "VmmExited"],
      [{ type: "vmm.guestPanicked" }, "GuestFailed"],
      [{ type: "vmm.guestShutdown", reason: "guest-reset" }, "GuestFailed"],
    ] as const)("takes the next way when the VMM reports %o", async (event, code) => {
      const bench = await copied();
      bench.vmm$.next(event);
      await settle();
      expectNextWay(bench, code);
    });

    it("takes the next way when its agent's link fails", async () => {
      const bench = await copied();
      await bench.fail("connectAgent");
      expectNextWay(bench, "VmmFailed");
    });

    it("takes the next way when its agent is late, though it shows signs of life", async () => {
      const bench = await copied();
      const { firstSign, copyHello } = DEFAULT_DEADLINES;
      for (let waited = 0; waited + firstSign < copyHello; waited += firstSign) {
        await bench.pass(firstSign);
        await bench.succeed("examine", { dead: undefined });
      }
      expect(bench.state).toEqual({ awaitingAgent: "listening" });
      await bench.pass(firstSign);
      expectNextWay(bench, "GuestNotReady");
    });
  });

  it("is patient with a guest that shows signs of life, until the deadline", async () => {
    const bench = new Bench();
    await bench.succeed("acquire", { origin: "boot" });
    await bench.succeed("boot", { pid: 1 });
    const { firstSign, agentHello } = DEFAULT_DEADLINES;
    for (let waited = 0; waited + firstSign < agentHello; waited += firstSign) {
      await bench.pass(firstSign);
      expect(bench.state).toEqual({ awaitingAgent: "examining" });
      await bench.succeed("examine", { dead: undefined });
      expect(bench.state).toEqual({ awaitingAgent: "listening" });
    }
    await bench.pass(firstSign);
    expect(bench.actor.getSnapshot().output?.failure?.code).toBe("GuestNotReady");
    expect(bench.told).toEqual([]);
  });

  it("does without a look that fails", async () => {
    const bench = new Bench();
    await bench.succeed("acquire", { origin: "boot" });
    await bench.succeed("boot", { pid: 1 });
    await bench.pass(DEFAULT_DEADLINES.firstSign);
    await bench.fail("examine");
    await bench.succeed("connectAgent");
    expect(bench.state).toBe("settingUp");
  });

  it("goes on with a hello that comes while the guest is looked at", async () => {
    const bench = new Bench();
    await bench.succeed("acquire", { origin: "clone" });
    await bench.succeed("clone", { pid: 1 });
    await bench.pass(DEFAULT_DEADLINES.firstSign);
    await bench.succeed("connectAgent");
    expect(bench.state).toBe("settingUp");
    expect(bench.aborted).toContain("examine");
  });

  it("replaces a VM without a sign of life by another way, then by further boots, and says so each time", async () => {
    const bench = new Bench();
    const dead = { code: "GuestNotReady", operation: "boot the guest", reason: "silence" };
    const die = async () => {
      await bench.pass(DEFAULT_DEADLINES.firstSign);
      await bench.succeed("examine", { dead });
    };
    await bench.succeed("acquire", { origin: "fork" });
    for (const [way, next] of [
      ["fork", "cloning"],
      ["clone", "booting"],
      ["boot", "booting"],
      ["boot", "booting"],
    ] as const) {
      await bench.succeed(way, { pid: 1 });
      await die();
      expect(bench.state).toBe(next);
      expect(bench.aborted.at(-1)).toBe("connectAgent");
      // the VM that was given up is not listened to
      bench.vmm$.next({ type: "vmm.exited", code: -1, signal: 9 });
    }
    expect(bench.told).toEqual(["fork", "clone", "boot", "boot"]);
    expect(bench.context.fallbacks.every(({ failure }) => failure.reason === "silence")).toBe(true);
    await bench.succeed("boot", { pid: 2 });
    // enough of that: the last one is waited for
    await die();
    expect(bench.state).toEqual({ awaitingAgent: "listening" });
    await bench.succeed("connectAgent");
    await bench.succeed("setUpGuest");
    expect(bench.actor.getSnapshot().output).toEqual({ pid: 2, failure: undefined });
  });

  it("does not hear a VM that was given up", async () => {
    const bench = new Bench();
    await bench.succeed("acquire", { origin: "warm" });
    await bench.fail("adopt");
    bench.vmm$.next({ type: "vmm.exited", code: -1, signal: 9 });
    await settle();
    expect(bench.state).toBe("queued");
  });
});
