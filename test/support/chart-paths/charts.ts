/**
 * Every chart with what can happen to it: how it begins, what it is told, what its effects may end with.
 */
import { type AnyEventObject, type AnyMachineSnapshot, matchesState } from "xstate";
import { DEFAULT_DEADLINES } from "../../../src/contracts/deadlines.ts";
import {
  type ContainerContext,
  type ContainerInput,
  containerMachine,
} from "../../../src/machines/container.machine.ts";
import type { Failure } from "../../../src/machines/failure.ts";
import { type PoolContext, type PoolInput, poolMachine } from "../../../src/machines/pool.machine.ts";
import { type ProcessInput, processMachine } from "../../../src/machines/process.machine.ts";
import { sandboxMachine } from "../../../src/machines/sandbox.machine.ts";
import type { FoundSandbox, SandboxContext, SandboxInput } from "../../../src/machines/sandbox.setup.ts";
import { vmBootMachine } from "../../../src/machines/vm-boot.machine.ts";
import type { AcquireInput, VmBootContext, VmBootInput } from "../../../src/machines/vm-boot.setup.ts";
import type { ChartUnderSearch } from "./search.ts";

/** How a chart is ended: what it is told then, and that it has ended within so many milliseconds without any help. */
export interface Ending {
  readonly events: readonly AnyEventObject[];
  readonly withinMs: number;
  /** Default: it is final. */
  readonly reached?: (snapshot: AnyMachineSnapshot) => boolean;
}

export interface KnownChart extends ChartUnderSearch {
  readonly endings: Readonly<Record<string, Ending>>;
}

const deadlines = DEFAULT_DEADLINES;
const sandboxId = "pod";
const containerId = "c1";
const failure: Failure = { code: "GuestLost", operation: "keep the sandbox alive", reason: "it has died" };
const VMM_EVENTS = [
  { type: "vmm.paused" },
  { type: "vmm.resumed" },
  { type: "vmm.guestShutdown", reason: "guest-shutdown" },
  { type: "vmm.guestPanicked" },
  { type: "vmm.exited", code: 1, signal: 0 },
];

const NEW_SANDBOX: SandboxInput = { sandboxId, deadlines };

function foundSandbox(phase: FoundSandbox["phase"]): SandboxInput {
  const containers = { [containerId]: { "": { state: "running", status: 0 } } } as const;
  return { ...NEW_SANDBOX, found: { phase, pid: 1, failure: undefined, containers } };
}

const sandbox: KnownChart = {
  machine: sandboxMachine,
  inputs: {
    "a new sandbox": NEW_SANDBOX,
    "one that was found ready": foundSandbox("ready"),
    "one that was found stopping": foundSandbox("stopping"),
    "one that was found stopped": foundSandbox("stopped"),
  },
  events: ({ children }) => [
    { type: "sandbox.start" },
    { type: "sandbox.stop" },
    { type: "sandbox.shutdown" },
    ...(children[`container/${containerId}`] === undefined ? [{ type: "container.add", containerId }] : []),
    { type: "container.gone", containerId },
    ...VMM_EVENTS,
    { type: "vmm.exited", code: -1, signal: 9, outOfMemory: "the pod" },
    {
      type: "vmm.diskFailed",
      disk: "c1",
      operation: "write",
      noSpace: true,
      reason: "No space left on device",
    },
    { type: "guest.lost", failure },
    { type: "network.lost", failure },
    { type: "guest.processExited", containerId, execId: "", status: 0 },
    { type: "guest.oomKilled", containerId },
  ],
  results: ({ name }) => {
    if (name === "boot")
      return [
        { pid: 1, failure: undefined },
        { pid: 0, failure },
      ];
    return name === "adopt" ? [{ pid: 1 }] : undefined;
  },
  matters: ({ context, value }) => {
    const { removing, guestAlive, found } = context as SandboxContext;
    return [removing, guestAlive, value === "adopting" && found?.phase];
  },
  endings: {
    "sandbox.stop": {
      events: [{ type: "sandbox.stop" }],
      withinMs: deadlines.stop,
      reached: ({ value }) => matchesState("stopped", value) || matchesState("removed", value),
    },
    "sandbox.shutdown": { events: [{ type: "sandbox.shutdown" }], withinMs: deadlines.stop },
  },
};

const ORIGINS = ["warm", "fork", "clone", "boot"];
/** A guest is looked at three times and not thirty: that is the same, and quicker. */
const FEW_LOOKS = { ...deadlines, firstSign: deadlines.agentHello / 3 };

const vmBoot: KnownChart = {
  machine: vmBootMachine,
  inputs: { "a VM": { vmId: sandboxId, deadlines: FEW_LOOKS } satisfies VmBootInput },
  events: () => VMM_EVENTS,
  results: ({ name, input }) => {
    if (name === "acquire") {
      const { fresh } = input as AcquireInput;
      return ORIGINS.filter((origin) => !fresh || origin !== "warm").map((origin) => ({ origin }));
    }
    if (name === "examine") return [{ dead: undefined }, { dead: failure }];
    return name === "connectAgent" || name === "setUpGuest" ? undefined : [{ pid: 1 }];
  },
  matters: ({ context }) => {
    const { origin, fallbacks } = context as VmBootContext;
    return [origin, fallbacks.length > 0, fallbacks.filter(({ from }) => from === "boot").length];
  },
  endings: { "its deadlines": { events: [], withinMs: deadlines.startQueue + deadlines.adopt } },
};

const NEW_CONTAINER: ContainerInput = { sandboxId, containerId, deadlines };

const container: KnownChart = {
  // it has no parent here
  machine: containerMachine.provide({ actions: { tellParent: () => undefined } }),
  inputs: {
    "a new container": NEW_CONTAINER,
    "one that was found": { ...NEW_CONTAINER, found: { "": { state: "running", status: 0 } } },
  },
  events: ({ children }) => [
    { type: "container.delete" },
    { type: "container.lost" },
    { type: "container.oomKilled" },
    ...(children["process/exec"] === undefined ? [{ type: "process.add", execId: "exec" }] : []),
    { type: "process.remove", execId: "exec" },
    { type: "process.exited", execId: "", status: 0 },
    { type: "process.found", execId: "" },
  ],
  matters: () => undefined,
  endings: {
    // a deletion that is late is answered, and asked for again; the rest is its sandbox's matter
    "container.delete": {
      events: [{ type: "container.lost" }, { type: "container.delete" }],
      withinMs: deadlines.containerDelete,
      reached: ({ value, status, context }) =>
        status === "done" ||
        (matchesState("present", value) && (context as ContainerContext).failure !== undefined),
    },
  },
};

const NEW_PROCESS: ProcessInput = { sandboxId, containerId, execId: "", deadlines };

const process: KnownChart = {
  machine: processMachine,
  inputs: {
    "a new process": NEW_PROCESS,
    "one that was found pending": { ...NEW_PROCESS, found: { state: "pending", status: 0 } },
    "one that was found running": { ...NEW_PROCESS, found: { state: "running", status: 0 } },
    "one that was found exited": { ...NEW_PROCESS, found: { state: "exited", status: 1 } },
  },
  events: () => [{ type: "process.start" }, { type: "process.found" }, { type: "process.exited", status: 0 }],
  matters: () => undefined,
  endings: { "process.exited": { events: [{ type: "process.exited", status: 137 }], withinMs: 0 } },
};

/** More of them make no pause longer. */
const MOST_FAILURES = 9;

const pool: KnownChart = {
  machine: poolMachine,
  inputs: {
    "no pool": { min: 0, max: 0, intervalMs: 250, deadlines } satisfies PoolInput,
    "a pool of two": { min: 1, max: 2, intervalMs: 250, deadlines } satisfies PoolInput,
  },
  events: () => [{ type: "pool.lost", count: 1 }, { type: "pool.pressure" }, { type: "pool.close" }],
  matters: ({ context }) => {
    const { max, size, failures } = context as PoolContext;
    return [max, size, Math.min(failures, MOST_FAILURES)];
  },
  endings: { "pool.close": { events: [{ type: "pool.close" }], withinMs: deadlines.drainAhead } },
};

export const CHARTS: Readonly<Record<string, KnownChart>> = { sandbox, vmBoot, container, process, pool };
