/** The sandbox chart alone, with the chart of its VM's start in it: stubbed effects, simulated time. */
import { Subject } from "rxjs";
import { describe, expect, it } from "vitest";
import { createActor, fromEventObservable, fromPromise, SimulatedClock } from "xstate";
import { DEFAULT_DEADLINES } from "../../../src/contracts/deadlines.ts";
import { blazarError } from "../../../src/contracts/errors.ts";
import type { EffectInput } from "../../../src/machines/effects.ts";
import { PHASE_OF_STATE, sandboxMachine } from "../../../src/machines/sandbox.machine.ts";
import type { SandboxEvent } from "../../../src/machines/sandbox.setup.ts";
import { vmBootMachine } from "../../../src/machines/vm-boot.machine.ts";
import type { VmBootEvent } from "../../../src/machines/vm-boot.setup.ts";

const EFFECTS = [
  "provision",
  "stopContainers",
  "shutDownGuest",
  "endVmm",
  "tearDownNetwork",
  "tearDownStorage",
] as const;
const BOOT_EFFECTS = ["acquire", "boot", "connectAgent", "setUpGuest"] as const;
type Effect = (typeof EFFECTS)[number] | (typeof BOOT_EFFECTS)[number];

/** A chart whose effects end when the test says so. */
class Bench {
  readonly clock = new SimulatedClock();
  readonly calls: Effect[] = [];
  readonly aborted: Effect[] = [];
  readonly vmm$ = new Subject<VmBootEvent>();
  readonly agent$ = new Subject<SandboxEvent>();
  private readonly open = new Map<
    Effect,
    { resolve: (value: never) => void; reject: (error: unknown) => void }
  >();
  bootsEnded = 0;
  readonly actor;

  constructor() {
    const effect = (name: Effect) =>
      fromPromise<never, unknown>(
        ({ signal }) =>
          new Promise((resolve, reject) => {
            this.calls.push(name);
            this.open.set(name, { resolve, reject });
            signal.addEventListener("abort", () => this.aborted.push(name));
          }),
      );
    const all = (names: readonly Effect[]) => Object.fromEntries(names.map((name) => [name, effect(name)]));
    const boot = vmBootMachine.provide({
      actors: { ...all(BOOT_EFFECTS), vmm: fromEventObservable(() => this.vmm$) },
    });
    this.actor = createActor(
      sandboxMachine.provide({
        actors: {
          ...all(EFFECTS),
          boot,
          vmm: fromEventObservable<SandboxEvent, EffectInput>(() => this.vmm$),
          agent: fromEventObservable<SandboxEvent, EffectInput>(() => this.agent$),
        },
        actions: {
          endBoot: () => {
            this.bootsEnded++;
          },
        },
      }),
      { input: { sandboxId: "s1", deadlines: DEFAULT_DEADLINES }, clock: this.clock },
    );
    this.actor.start();
  }

  get state(): unknown {
    return this.actor.getSnapshot().value;
  }

  /** The state of the chart that makes the VM; undefined if it does not run. */
  get boot(): unknown {
    return this.actor.getSnapshot().children["boot"]?.getSnapshot().value;
  }

  get context() {
    return this.actor.getSnapshot().context;
  }

  async succeed(name: Effect, value: unknown = undefined): Promise<void> {
    this.take(name).resolve(value as never);
    await settle();
  }

  async fail(name: Effect, error: unknown): Promise<void> {
    this.take(name).reject(error);
    await settle();
  }

  send(type: "sandbox.start" | "sandbox.stop" | "sandbox.shutdown"): void {
    this.actor.send({ type });
  }

  async pass(milliseconds: number): Promise<void> {
    this.clock.increment(milliseconds);
    await settle();
  }

  async startBoot(): Promise<void> {
    await this.succeed("provision");
    this.send("sandbox.start");
    await this.succeed("acquire", { origin: "boot" });
  }

  async becomeReady(): Promise<void> {
    await this.startBoot();
    await this.succeed("boot", { pid: 4711 });
    await this.succeed("connectAgent");
    await this.succeed("setUpGuest");
  }

  /** Lets every step of the clean-up succeed. */
  async cleanUp(): Promise<void> {
    for (const name of [
      "stopContainers",
      "shutDownGuest",
      "endVmm",
      "tearDownNetwork",
      "tearDownStorage",
    ] as const) {
      if (this.open.has(name)) await this.succeed(name);
    }
  }

  private take(name: Effect) {
    const found = this.open.get(name);
    if (found === undefined) throw new Error(`${name} is not under way; called: ${this.calls.join(", ")}`);
    this.open.delete(name);
    return found;
  }
}

const settle = () => new Promise((resolve) => setImmediate(resolve));
const boom = blazarError("VmmFailed", "start the VMM", "boom");

describe("a sandbox", () => {
  it("goes from creating over created and booting to ready", async () => {
    const bench = new Bench();
    expect(bench.state).toBe("creating");
    await bench.succeed("provision");
    expect(bench.state).toBe("created");
    bench.send("sandbox.start");
    expect([bench.state, bench.boot]).toEqual(["booting", "queued"]);
    await bench.succeed("acquire", { origin: "boot" });
    expect(bench.boot).toBe("booting");
    await bench.succeed("boot", { pid: 4711 });
    expect(bench.boot).toEqual({ awaitingAgent: "listening" });
    await bench.succeed("connectAgent");
    expect(bench.boot).toBe("settingUp");
    await bench.succeed("setUpGuest");
    expect([bench.state, bench.boot]).toEqual([{ ready: "running" }, undefined]);
    expect(bench.context.pid).toBe(4711);
  });

  it("stops containers, guest, VMM, network and storage in this order", async () => {
    const bench = new Bench();
    await bench.becomeReady();
    bench.send("sandbox.stop");
    await bench.cleanUp();
    expect(bench.state).toBe("stopped");
    expect(bench.calls.slice(-5)).toEqual([
      "stopContainers",
      "shutDownGuest",
      "endVmm",
      "tearDownNetwork",
      "tearDownStorage",
    ]);
    expect(bench.context).toMatchObject({ pid: 0, failure: undefined, leftovers: [] });
  });

  it("is removed by Shutdown, from stopped and from ready", async () => {
    for (const stopFirst of [true, false]) {
      const bench = new Bench();
      await bench.becomeReady();
      if (stopFirst) {
        bench.send("sandbox.stop");
        await bench.cleanUp();
      }
      bench.send("sandbox.shutdown");
      await bench.cleanUp();
      expect(bench.actor.getSnapshot()).toMatchObject({ value: "removed", status: "done" });
    }
  });

  it.each([
    ["creating", []],
    ["created", ["provision"]],
    ["queued", ["provision", "start"]],
    ["booting", ["provision", "start", "acquire"]],
    ["awaitingAgent", ["provision", "start", "acquire", "boot"]],
    ["settingUp", ["provision", "start", "acquire", "boot", "connectAgent"]],
  ] as const)("takes Stop while %s, aborts what is under way and cleans up", async (_, path) => {
    const bench = new Bench();
    for (const step of path) {
      if (step === "start") bench.send("sandbox.start");
      else await bench.succeed(step, { pid: 1, origin: "boot" });
    }
    const underWay = bench.calls.at(-1);
    bench.send("sandbox.stop");
    await settle();
    if (path.length !== 1) expect(bench.aborted).toContain(underWay);
    await bench.cleanUp();
    expect(bench.state).toBe("stopped");
    expect(bench.calls).toEqual(expect.arrayContaining(["endVmm", "tearDownNetwork", "tearDownStorage"]));
  });

  it("gives up being made at its deadline, and removes itself", async () => {
    const bench = new Bench();
    await bench.pass(DEFAULT_DEADLINES.provision - 1);
    expect(bench.context.failure).toBeUndefined();
    await bench.pass(1);
    expect(bench.context.failure?.code).toBe("DeadlineExceeded");
    await bench.cleanUp();
    expect(bench.actor.getSnapshot().status).toBe("done");
  });

  it("keeps the failure of a boot as the answer, and removes itself", async () => {
    const bench = new Bench();
    await bench.startBoot();
    await bench.fail("boot", boom);
    expect(bench.context.failure).toMatchObject({ code: "VmmFailed", reason: "boom" });
    await bench.cleanUp();
    expect(bench.actor.getSnapshot().value).toBe("removed");
  });

  it("ends its boot whether the start succeeds, fails or is stopped", async () => {
    const ready = new Bench();
    await ready.becomeReady();
    const failed = new Bench();
    await failed.startBoot();
    await failed.fail("boot", boom);
    const stopped = new Bench();
    await stopped.startBoot();
    stopped.send("sandbox.stop");
    expect([ready.bootsEnded, failed.bootsEnded, stopped.bootsEnded]).toEqual([1, 1, 1]);
  });

  it("that is stopped while it boots ends its VM without asking the guest", async () => {
    const bench = new Bench();
    await bench.startBoot();
    await bench.succeed("boot", { pid: 4711 });
    bench.send("sandbox.stop");
    await settle();
    expect(bench.calls.at(-1)).toBe("endVmm");
    expect(bench.calls).not.toContain("shutDownGuest");
  });

  it("ignores the exit of a process that it never had", async () => {
    const bench = new Bench();
    await bench.becomeReady();
    bench.agent$.next({
      type: "guest.processExited",
      containerId: "nobody",
      execId: "",
      status: 1,
    });
    bench.agent$.next({ type: "guest.oomKilled", containerId: "nobody" });
    await settle();
    expect(bench.actor.getSnapshot()).toMatchObject({ status: "active", value: { ready: "running" } });
  });

  it("goes down when its VMM is killed, without asking the guest, and stays until Shutdown", async () => {
    const bench = new Bench();
    await bench.becomeReady();
    bench.vmm$.next({ type: "vmm.exited", code: -1, signal: 9 });
    await settle();
    expect(bench.context.failure).toMatchObject({
      code: "VmmExited",
      reason: expect.stringContaining("signal 9"),
    });
    expect(bench.calls).not.toContain("stopContainers");
    await bench.cleanUp();
    expect(bench.state).toBe("stopped");
    bench.send("sandbox.shutdown");
    expect(bench.state).toBe("removed");
  });

  it("goes down when its guest powers off by itself, without asking the guest for anything", async () => {
    const bench = new Bench();
    await bench.becomeReady();
    bench.vmm$.next({ type: "vmm.guestShutdown", reason: "guest-shutdown" });
    await settle();
    expect(bench.context.failure).toMatchObject({
      code: "GuestFailed",
      reason: expect.stringContaining("guest-shutdown"),
    });
    expect(bench.calls.at(-1)).toBe("endVmm");
  });

  it("goes down when its guest breaks the protocol", async () => {
    const bench = new Bench();
    await bench.becomeReady();
    bench.agent$.next({
      type: "guest.lost",
      failure: { code: "FrameTooLong", operation: "read a frame", reason: "x" },
    });
    await settle();
    expect(bench.context.failure?.code).toBe("FrameTooLong");
    expect(bench.calls.at(-1)).toBe("endVmm");
  });

  it("never hangs in the clean-up: each step has a deadline and is reported as left over", async () => {
    const bench = new Bench();
    await bench.becomeReady();
    const reported: string[] = [];
    bench.actor.on("leftover", ({ step }) => reported.push(step));
    bench.send("sandbox.shutdown");
    for (const deadline of [
      "stopContainers",
      "guestShutdown",
      "vmmExit",
      "networkTeardown",
      "storageTeardown",
    ] as const) {
      await bench.pass(DEFAULT_DEADLINES[deadline]);
    }
    expect(bench.actor.getSnapshot().value).toBe("removed");
    // a guest that does not power off is killed next: that is no leftover
    expect(reported).toEqual(["stopContainers", "endVmm", "tearDownNetwork", "tearDownStorage"]);
    expect(bench.context.leftovers).toEqual(reported);
  });

  it("is paused and resumed by what the VMM reports", async () => {
    const bench = new Bench();
    await bench.becomeReady();
    bench.vmm$.next({ type: "vmm.paused" });
    expect(bench.state).toEqual({ ready: "paused" });
    bench.vmm$.next({ type: "vmm.resumed" });
    expect(bench.state).toEqual({ ready: "running" });
  });

  it("fails at once, by name, where an effect was not bound", async () => {
    const actor = createActor(sandboxMachine, { input: { sandboxId: "s", deadlines: DEFAULT_DEADLINES } });
    actor.start();
    await settle();
    expect(actor.getSnapshot().context.failure?.reason).toContain("effect provision is not bound");
    actor.stop();
  });
});

describe("the phases that the port knows", () => {
  it("say something of every state of a sandbox", () => {
    expect(Object.keys(PHASE_OF_STATE).sort()).toEqual(Object.keys(sandboxMachine.states).sort());
  });
});
