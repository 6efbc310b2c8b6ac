/**
 * What the chart of a sandbox is written in: its events and context, the effects and actions it names, its deadlines.
 */
import { assign, emit, setup, stopChild } from "xstate";
import type { Deadlines } from "../contracts/deadlines.ts";
import type { DiskFailed } from "../contracts/vm.ts";
import { containerMachine } from "./container.machine.ts";
import { effectStubs, eventStub, promiseStub } from "./effects.ts";
import { type Failure, failureOf, type Overdue, overdue } from "./failure.ts";
import type { FoundProcess } from "./process.machine.ts";
import { vmBootMachine } from "./vm-boot.machine.ts";
import type { VmBootEvent } from "./vm-boot.setup.ts";

export interface SandboxInput {
  readonly sandboxId: string;
  readonly deadlines: Deadlines;
  /** What an earlier daemon has left. Default: the sandbox is new. */
  readonly found?: FoundSandbox | undefined;
}

/** A sandbox that an earlier daemon has left. */
export interface FoundSandbox {
  readonly phase: "ready" | "stopping" | "stopped";
  /** Host pid of the VMM, as far as it is known; shown until it has been looked at. */
  readonly pid: number;
  /** Why it was on its way out, unless it was asked to. */
  readonly failure: Failure | undefined;
  /** Processes by exec id, by container. */
  readonly containers: Readonly<Record<string, Readonly<Record<string, FoundProcess>>>>;
}

export interface SandboxContext extends SandboxInput {
  /** Host pid of the VMM; 0 before containers can run and after it has ended. */
  readonly pid: number;
  /** Why the sandbox is on its way out, unless it was asked to. */
  readonly failure: Failure | undefined;
  /** Clean-up steps that failed or passed their deadline; Shutdown comes back to them. */
  readonly leftovers: readonly string[];
  /** Shutdown was asked for, or nobody will: go on from stopped to removed. */
  readonly removing: boolean;
  /** The agent's link is up and the guest can be asked to shut down. */
  readonly guestAlive: boolean;
}

export type SandboxEvent =
  | { readonly type: "sandbox.start" }
  | { readonly type: "sandbox.stop" }
  | { readonly type: "sandbox.shutdown" }
  | { readonly type: "container.add"; readonly containerId: string }
  | { readonly type: "container.gone"; readonly containerId: string }
  | VmBootEvent
  | { readonly type: "guest.lost"; readonly failure: Failure }
  /** The pod's network namespace or a link in it is gone. */
  | { readonly type: "network.lost"; readonly failure: Failure }
  | {
      readonly type: "guest.processExited";
      readonly containerId: string;
      readonly execId: string;
      readonly status: number;
    }
  | { readonly type: "guest.oomKilled"; readonly containerId: string };

/** Told to whoever watches a sandbox. */
export type SandboxEmitted =
  /** The step of a clean-up that has to be looked at again. */
  | { readonly type: "leftover"; readonly step: string }
  | { readonly type: "diskFailed"; readonly event: DiskFailed };

/** The actor id of a container's child actor. */
export function containerActorId(containerId: string): `container/${string}` {
  return `container/${containerId}`;
}

/** The actor id of the child that makes the sandbox's VM. */
export const BOOT_ACTOR = "boot";

/** One-shot effects; the sandbox of actors/sandbox/sandbox.actor.ts has a method for each. */
export const SANDBOX_EFFECTS = [
  "provision",
  "stopContainers",
  "shutDownGuest",
  "endVmm",
  "tearDownNetwork",
  "tearDownStorage",
] as const;

/** What carries out the effects. Each method's signal aborts when the chart moves on. */
export type SandboxEffects = Readonly<
  Record<(typeof SANDBOX_EFFECTS)[number], (signal: AbortSignal) => Promise<void>>
>;

export const sandboxSetup = setup({
  types: {
    input: {} as SandboxInput,
    context: {} as SandboxContext,
    events: {} as SandboxEvent,
    emitted: {} as SandboxEmitted,
    children: {} as {
      boot: "boot";
      vmm: "vmm";
      agent: "agent";
      [container: `container/${string}`]: "container";
    },
  },
  actors: {
    ...effectStubs(SANDBOX_EFFECTS),
    adopt: promiseStub<{ readonly pid: number }>("adopt"),
    boot: vmBootMachine,
    vmm: eventStub<SandboxEvent>("vmm"),
    agent: eventStub<SandboxEvent>("agent"),
    container: containerMachine,
  },
  actions: {
    fail: assign({
      failure: ({ context }, params: { readonly failure: Failure | undefined }) =>
        context.failure ?? params.failure,
    }),
    failed: assign({
      failure: ({ context }, params: { readonly error: unknown }) =>
        context.failure ?? failureOf(params.error),
    }),
    overdue: assign({
      failure: ({ context }, params: Overdue) => context.failure ?? overdue(params, context.deadlines),
    }),
    /** What was going down anyway has not failed. */
    notAdopted: assign({
      failure: ({ context }, { failure }: { readonly failure: Failure }) =>
        context.failure ?? (context.found?.phase === "ready" ? failure : undefined),
    }),
    /** The start is over, one way or the other: the next one may have its turn; bound in actors/. */
    endBoot: () => undefined,
    removeAfterwards: assign({ removing: true }),
    ready: assign((_, params: { readonly pid: number }) => ({ pid: params.pid, guestAlive: true })),
    vmmGone: assign({ pid: 0, guestAlive: false }),
    guestGone: assign({ guestAlive: false }),
    leaveBehind: assign({
      leftovers: ({ context }, params: { readonly step: string }) => [...context.leftovers, params.step],
    }),
    reportLeftover: emit((_, params: { readonly step: string }) => ({
      type: "leftover" as const,
      step: params.step,
    })),
    /** Nothing ends by it: the guest has got an error. */
    reportDiskFailure: emit((_, params: { readonly event: DiskFailed }) => ({
      type: "diskFailed" as const,
      event: params.event,
    })),
    forgetContainer: stopChild((_, params: { readonly containerId: string }) =>
      containerActorId(params.containerId),
    ),
  },
  guards: {
    found: ({ context }) => context.found !== undefined,
    foundReady: ({ context }) => context.found?.phase === "ready",
    removing: ({ context }) => context.removing,
    guestAlive: ({ context }) => context.guestAlive,
  },
  delays: {
    takeOver: ({ context }) => context.deadlines.takeOver,
    provision: ({ context }) => context.deadlines.provision,
    stop: ({ context }) => context.deadlines.stop,
    guestEnd: ({ context }) => context.deadlines.guestEnd,
    stopContainers: ({ context }) => context.deadlines.stopContainers,
    guestShutdown: ({ context }) => context.deadlines.guestShutdown,
    vmmKill: ({ context }) => context.deadlines.vmmKill,
    vmmExit: ({ context }) => context.deadlines.vmmExit,
    networkTeardown: ({ context }) => context.deadlines.networkTeardown,
    storageTeardown: ({ context }) => context.deadlines.storageTeardown,
  },
});
