/**
 * What may happen in a history of the model test, and what may be wrong with its world: the generators.
 */
import fc from "fast-check";
import { blazarError } from "../../src/contracts/errors.ts";
import type { VmSource } from "../../src/contracts/vm.ts";
import type { GuestFaults } from "../support/fake-guest/guest.ts";
import type { VmFaults } from "../support/fake-vmm/vm.ts";
import type { HostFault } from "../support/memory-host/host.ts";

export const SANDBOXES = ["s1", "s2"];
export const CONTAINERS = ["c1", "c2"];
export const PROCESSES = ["", "e1"];

const sandbox = fc.constantFrom(...SANDBOXES);
const container = fc.constantFrom(...CONTAINERS);
const execId = fc.constantFrom(...PROCESSES);

/** One thing that happens. */
export type Step =
  | { call: "create"; sandbox: string; asked: string | undefined }
  | { call: "start" | "stop" | "shutdown" | "waitSandbox" | "cancelledStart"; sandbox: string }
  | { call: "createTask"; sandbox: string; container: string }
  | { call: "startTask" | "wait" | "delete" | "closeIO"; container: string; execId: string }
  | { call: "exec" | "pids"; container: string }
  | { call: "kill"; container: string; execId: string; signal: number; all: boolean }
  | { fault: "vmDies" | "guestCrashes"; sandbox: string }
  | { fault: "hostStep"; step: HostFault }
  | { fault: "volumes"; state: number }
  /** Another one takes its place. */
  | { fault: "keeperDies" }
  /** Of those that no sandbox owns: the pool's and the original. */
  | { fault: "ownerlessVmDies"; which: number }
  | { fault: "templates"; are: "gone" | "there" | "other" }
  | { fault: "images"; are: "gone" | "there" }
  /**
   * The daemon dies before so many writes to its journals more, or in the middle of what it asks of the host then, and another
   * one starts on what it has left. What runs is looked at before anything else is asked, or the history goes on at once. While
   * there is no daemon, the containers may end with a status of their own.
   */
  | { crash: number; at: "write" | "call"; look: boolean; exits: boolean }
  | { time: number };

function rarely<T>(arbitrary: fc.Arbitrary<T>, mostly: T): fc.Arbitrary<T> {
  return fc.oneof({ weight: 4, arbitrary: fc.constant(mostly) }, { weight: 1, arbitrary });
}

/** What a pod asks for; mostly nothing. */
const way = fc.constantFrom(undefined, undefined, undefined, "pool", "clone", "cold");

export const step: fc.Arbitrary<Step> = fc.oneof(
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
  {
    weight: 4,
    arbitrary: fc.record({
      crash: fc.oneof(fc.constant(0), fc.nat(3), fc.nat(60)),
      at: fc.constantFrom("write" as const, "call" as const),
      look: fc.boolean(),
      exits: rarely(fc.constant(true), false),
    }),
  },
  { weight: 1, arbitrary: fc.record({ fault: fc.constant("keeperDies" as const) }) },
  { weight: 4, arbitrary: fc.record({ time: fc.constantFrom(0, 1, 100, 5_000, 200_000) }) },
);

/** A pod that runs a container with an exec in it. */
const RUNNING: readonly Step[] = [
  { call: "create", sandbox: "s1", asked: undefined },
  { call: "start", sandbox: "s1" },
  { time: 100 },
  { call: "createTask", sandbox: "s1", container: "c1" },
  { time: 100 },
  { call: "startTask", container: "c1", execId: "" },
  { call: "exec", container: "c1" },
  { call: "startTask", container: "c1", execId: "e1" },
];

/** Histories; half of them begin with something that can be lost. */
export const histories: fc.Arbitrary<readonly Step[]> = fc
  .tuple(fc.boolean(), fc.array(step, { minLength: 1, maxLength: 30, size: "medium" }))
  .map(([runs, steps]) => (runs ? [...RUNNING, ...steps] : steps));

/** Whether this may end the daemon; only then is it held by ports that can die. */
export function isCrash(each: Step): boolean {
  return "crash" in each;
}

/** Whether something of the host fails by this. */
export function isFault(each: Step): boolean {
  return "fault" in each;
}

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
export interface World {
  readonly vm: Readonly<Record<VmSource["kind"], VmFaults>>;
  readonly guest: GuestFaults;
  readonly warm: number;
  /** The node forks, and has an original when the history begins. */
  readonly forks: boolean;
  /** A container has run before, so that warm VMs have its image ahead. */
  readonly imageAhead: boolean;
}

const none = fc.constant({});

function worldsWith(vm: fc.Arbitrary<VmFaults>, guest: fc.Arbitrary<GuestFaults>): fc.Arbitrary<World> {
  return fc.record({
    vm: fc.record({ boot: vm, clone: vm, fork: vm }),
    guest,
    // what is made ahead takes most of the time of a history
    warm: rarely(fc.integer({ min: 1, max: 2 }), 0),
    forks: rarely(fc.constant(true), false),
    imageAhead: rarely(fc.constant(true), false),
  });
}

export function isWell({ vm, guest }: World): boolean {
  return [...Object.values(vm), guest].every((faults) => Object.keys(faults).length === 0);
}

/** Nothing is wrong from the beginning. */
export const wellWorlds = worldsWith(none, none);

/** In some nothing is wrong from the beginning: there pods run, and must run on. */
export const worlds: fc.Arbitrary<World> = fc.oneof(
  { weight: 2, arbitrary: wellWorlds },
  { weight: 3, arbitrary: worldsWith(vmFaults, guestFaults) },
);
