/**
 * The lives of the fake's pods: what happens when, as generators that yield how long the next part takes.
 *
 * They go through the real charts' states by the real events, with the steps that a real start has.
 */
import type { ChartKey, SandboxSummary } from "../../../src/contracts/inspection.ts";
import { stuckSentence } from "../../../src/observe/inspection/stuck.ts";
import type { Random } from "./random.ts";
import type { FakeRecord } from "./record.ts";

/** As if `inspection.stuck_least` were so low; the fake's pods are young. */
const STUCK_LEAST_MS = 1_000;
const USUAL_P99_MS = 41;

/** What a pod of the fake is to be. */
export interface PodPlan {
  readonly name: string;
  readonly namespace: string;
  /** Where its VM comes from. */
  readonly path: Exclude<SandboxSummary["path"], "">;
  readonly containers: number;
  /** Ways that fail before it; each is told as a fallback. */
  readonly fallbacks?: readonly ("pool" | "fork" | "clone")[];
  /** Path of the state in which it stays. */
  readonly halt?: string;
  /** Path of the state whose effect fails. */
  readonly fail?: string;
  /** It counts as stuck where it halts. */
  readonly stuck?: boolean;
  /** Times as long as usual. */
  readonly slowness?: number;
  /** What it is called, and what its guest says; hostile pods have their own. */
  readonly guestWords?: string;
  /** Stopped so long after it is ready. */
  readonly stopAfter?: number;
  /** How it ends by itself so long after it is ready. */
  readonly diesAfter?: number;
}

/** Yields milliseconds; "halt" = nothing more happens. */
export type Life = Generator<number | "halt", void, void>;

export interface Teller {
  readonly record: FakeRecord;
  readonly plan: PodPlan;
  readonly random: Random;
  readonly now: () => number;
}

/** Usual lengths in milliseconds, about those of software emulation. */
const USUAL: Readonly<Record<string, number>> = {
  provision: 6,
  acquire: 3,
  adopt: 9,
  fork: 60,
  clone: 190,
  boot: 120,
  connectAgent: 240,
  setUpGuest: 14,
  create: 21,
  start: 7,
  stopContainers: 12,
  shutDownGuest: 130,
  endVmm: 18,
  tearDownNetwork: 4,
  tearDownStorage: 6,
};

const WAYS: Readonly<Record<PodPlan["path"], { state: string; effect: string }>> = {
  pool: { state: "adopting", effect: "adopt" },
  fork: { state: "forking", effect: "fork" },
  clone: { state: "cloning", effect: "clone" },
  boot: { state: "booting", effect: "boot" },
};

/** From Create to a pod whose containers run. */
export function* upwards(teller: Teller): Life {
  const { record, plan } = teller;
  const create = record.begin("call", "Controller.Create");
  const made = record.move("sandbox", "", "creating", { cause: create.id });
  record.hold("directory", `directory /run/blazar/vms/${record.id}`);
  record.hold("cgroups", `cgroups /sys/fs/cgroup/kubepods/pod${record.facts.pod.uid}/blazar`);
  const provided = yield* effect(teller, "sandbox", "creating", "provision", made, ["worker mount"]);
  create.end(provided.error);
  if (provided.error !== undefined) return yield* failing(teller, provided);
  record.move("sandbox", "done", "created", { cause: provided.id });
  yield* mayHalt(teller, "created");
  yield 4;
  const start = record.begin("call", "Controller.Start");
  const began = teller.now();
  record.move("sandbox", "sandbox.start", "booting", { cause: start.id });
  const booted = yield* boot(teller, start.id);
  start.end(booted.error);
  if (booted.error !== undefined) return yield* failing(teller, booted);
  record.move("sandbox", "done", "ready.running", { cause: booted.id });
  record.set({ startMs: teller.now() - began });
  yield* containers(teller);
  if (plan.halt === "ready.paused") record.move("sandbox", "vmm.paused", "ready.paused");
  if (plan.diesAfter !== undefined) yield* death(teller, plan.diesAfter);
  else if (plan.stopAfter !== undefined) {
    yield plan.stopAfter;
    yield* downwards(teller);
  }
}

/** From Stop to a sandbox that is gone. */
export function* downwards(teller: Teller): Life {
  const { record } = teller;
  const stop = record.begin("call", "Controller.Stop");
  record.drop("boot");
  record.move("sandbox", "sandbox.stop", "stopping.containers.killing", { cause: stop.id });
  yield* takeDown(teller, stop.id, true);
  stop.end();
  yield 3;
  const shutdown = record.begin("call", "Controller.Shutdown");
  record.move("sandbox", "sandbox.shutdown", "removed", { cause: shutdown.id });
  shutdown.end();
}

interface Ended {
  readonly id: number;
  readonly error?: string;
}

function* mayHalt({ plan, record }: Teller, state: string): Generator<"halt", void, void> {
  if (plan.halt !== state) return;
  const inBoot = state.startsWith("booting.");
  const [chart, path] = inBoot ? ["boot", state.slice("booting.".length)] : ["sandbox", state];
  if (plan.stuck === true) record.set({ stuck: stuckSentence(chart, path, STUCK_LEAST_MS, USUAL_P99_MS) });
  yield "halt";
}

/** Runs an effect of a state with its steps. */
function* effect(
  teller: Teller,
  chart: ChartKey,
  state: string,
  name: string,
  cause: number,
  steps: readonly string[],
): Generator<number | "halt", Ended, void> {
  const { record, plan, random } = teller;
  const going = record.begin("effect", name, { chart, cause });
  const total = (USUAL[name] ?? 5) * (plan.slowness ?? 1) * (0.7 + 0.6 * random());
  const share = total / (steps.length + 1);
  yield share;
  const stepCharts = { chart, cause: going.id };
  for (const [index, step] of steps.entries()) {
    const begun = record.begin("step", step, stepCharts);
    if (index === steps.length - 1) yield* mayHalt(teller, state);
    yield share;
    begun.end();
  }
  if (steps.length === 0) yield* mayHalt(teller, state);
  if (plan.fail !== state) {
    going.end();
    return { id: going.id };
  }
  const error = `cannot ${name} (${record.id.slice(0, 12)}): ${plan.guestWords ?? "no space left on device"}`;
  going.end(error);
  return { id: going.id, error };
}

function* boot(teller: Teller, cause: number): Generator<number | "halt", Ended, void> {
  const { record, plan } = teller;
  let entered = record.move("boot", "", "queued", { cause });
  const ways = [...(plan.fallbacks ?? []), plan.path];
  for (const [index, way] of ways.entries()) {
    const { state, effect: name } = WAYS[way];
    if (index === 0 || way === "fork") {
      const turn = yield* effect(teller, "boot", "booting.queued", "acquire", entered, []);
      if (turn.error !== undefined) return turn;
      entered = record.move("boot", "done", state, { cause: turn.id });
    }
    const last = index === ways.length - 1;
    const steps = way === "pool" ? ["guest sandbox.setup"] : ["keeper spawn", "qmp cont"];
    const done = yield* effect(teller, "boot", `booting.${state}`, name, entered, last ? steps : []);
    if (done.error !== undefined) return done;
    if (last) return yield* withAgent(teller, way, done);
    const next = WAYS[ways[index + 1] ?? "boot"].state;
    const error = `cannot ${name} a VM: the original is gone`;
    const target = next === "forking" ? "queued" : next;
    entered = record.move("boot", "failed", target, { cause: done.id, error });
    record.note(`fallback: ${error}`, { chart: "boot", cause: entered });
  }
  return { id: entered };
}

function* withAgent(
  teller: Teller,
  way: PodPlan["path"],
  launched: Ended,
): Generator<number | "halt", Ended, void> {
  const { record, random } = teller;
  record.set({ path: way, pid: 4000 + Math.floor(random() * 60_000) });
  record.hold("process", `process vm-${record.id.slice(0, 12)} (pid ${record.facts.pid})`);
  record.hold("network", `network of ${record.id} (/run/netns/cni-${record.id.slice(0, 8)})`);
  let from = launched.id;
  if (way !== "pool") {
    const waits = record.move("boot", "done", "awaitingAgent.listening", { cause: launched.id });
    const hello = yield* effect(teller, "boot", "booting.awaitingAgent.listening", "connectAgent", waits, []);
    if (hello.error !== undefined) return hello;
    from = hello.id;
  }
  const sets = record.move("boot", "done", "settingUp", { cause: from });
  const steps = way === "pool" ? ["guest clock.adjust"] : ["guest sandbox.setup", "guest clock.adjust"];
  const setUp = yield* effect(teller, "boot", "booting.settingUp", "setUpGuest", sets, steps);
  if (setUp.error !== undefined) return setUp;
  record.move("boot", "done", "ready", { cause: setUp.id });
  return setUp;
}

function* containers(teller: Teller): Life {
  const { record, plan } = teller;
  for (let index = 0; index < plan.containers; index++) {
    const id = `c${index}-${record.id.slice(0, 10)}`;
    const container: ChartKey = `container/${id}`;
    const process: ChartKey = `process/${id}/`;
    yield 12;
    const create = record.begin("call", "Task.Create");
    const made = record.move(container, "container.add", "creating", { cause: create.id });
    record.hold("rootfs", `root of container ${id}`);
    const state = "container.creating";
    const steps = ["worker rootfs.prepare", "qmp blockdev-add", "guest container.create"];
    const created = yield* effect(teller, container, state, "create", made, steps);
    record.set({ containers: record.facts.containers + 1 });
    record.move(container, "done", "present", { cause: created.id });
    record.move(process, "process.add", "pending", { cause: created.id });
    create.end(created.error);
    yield 2;
    const start = record.begin("call", "Task.Start");
    const starting = record.move(process, "process.start", "starting", { cause: start.id });
    const started = yield* effect(teller, process, "process.starting", "start", starting, [
      "guest process.start",
    ]);
    record.move(process, "done", "running", { cause: started.id });
    start.end();
    if (plan.guestWords !== undefined) record.note(`guest: ${plan.guestWords}`, { chart: container });
  }
}

function* failing(teller: Teller, { id, error }: Ended): Life {
  const { record } = teller;
  record.set({ failure: { code: "HostResource", message: error ?? "" } });
  const failed = record.move("sandbox", "failed", "failing", { cause: id, ...(error ? { error } : {}) });
  record.drop("boot");
  record.move("sandbox", "", "stopping.containers.deciding", { cause: failed });
  yield* takeDown(teller, failed, false);
}

function* death(teller: Teller, after: number): Life {
  const { record } = teller;
  yield after;
  const message =
    "cannot keep the sandbox alive: the VMM ended with signal 9 while the pod ran; see blazar logs --vmm";
  record.set({ failure: { code: "VmmExited", message } });
  const died = record.move("sandbox", "vmm.exited", "stopping.containers.deciding", { error: message });
  yield* takeDown(teller, died, false);
}

/** The steps of `stopping`; without a guest, containers and guest are passed over. */
function* takeDown(teller: Teller, cause: number, alive: boolean): Life {
  const { record } = teller;
  let from = cause;
  const part = function* (state: string, name: string, steps: readonly string[]): Life {
    const entered = record.move("sandbox", from === cause ? "" : "done", state, { cause: from });
    from = (yield* effect(teller, "sandbox", state, name, entered, steps)).id;
  };
  if (alive) {
    const killing = record.charts.get("sandbox")?.entry ?? cause;
    const state = "stopping.containers.killing";
    from = (yield* effect(teller, "sandbox", state, "stopContainers", killing, ["guest process.signal"])).id;
    yield* part("stopping.guest.shuttingDown", "shutDownGuest", ["guest sandbox.shutdown"]);
  }
  yield* part("stopping.vmm.killing", "endVmm", ["keeper kill"]);
  record.release("process");
  record.set({ pid: 0, containers: 0 });
  for (const key of [...record.charts.keys()]) if (key !== "sandbox") record.drop(key);
  yield* part("stopping.network", "tearDownNetwork", []);
  record.release("network");
  yield* part("stopping.storage", "tearDownStorage", ["worker umount"]);
  for (const kind of ["rootfs", "directory", "cgroups"]) record.release(kind);
  record.move("sandbox", "done", "stopped", { cause: from });
  record.set({ endedAt: teller.now() });
}
