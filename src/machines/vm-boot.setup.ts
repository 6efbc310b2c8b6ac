/**
 * What the chart of a VM's start is written in: its events and context, the effects and actions it names, its deadlines.
 */
import { assign, setup, stopChild } from "xstate";
import type { Deadlines } from "../contracts/deadlines.ts";
import type { DiskFailed, VmSource } from "../contracts/vm.ts";
import { eventStub, promiseStub } from "./effects.ts";
import { type Failure, failureOf, type Overdue, overdue } from "./failure.ts";

/** Where the VM comes from: a warm one that is there already, or a fresh one by one of the sources. */
export type VmOrigin = "warm" | VmSource["kind"];

/** A way to a VM that was tried and given up for the next one. Plain data. */
export interface Fallback {
  /** A boot makes way for another one. */
  readonly from: VmOrigin;
  readonly failure: Failure;
}

export interface VmBootInput {
  /** The sandbox's id, or the name of a VM of the pool. */
  readonly vmId: string;
  readonly deadlines: Deadlines;
}

export interface VmBootContext extends VmBootInput {
  /** Host pid of the VMM; 0 before it runs. */
  readonly pid: number;
  /** The way that is tried now, or has led to the VM. */
  readonly origin: VmOrigin | undefined;
  /** What was tried before, oldest first. */
  readonly fallbacks: readonly Fallback[];
  /** Why there will be no VM. */
  readonly failure: Failure | undefined;
}

/** How it ended: with a VM in which containers can run, or with a failure. */
export interface VmBootOutput {
  readonly pid: number;
  readonly failure: Failure | undefined;
}

export type VmBootEvent =
  | { readonly type: "vmm.paused" }
  | { readonly type: "vmm.resumed" }
  | { readonly type: "vmm.guestShutdown"; readonly reason: string }
  | { readonly type: "vmm.guestPanicked" }
  | DiskFailed
  | {
      readonly type: "vmm.exited";
      readonly code: number;
      readonly signal: number;
      /** The kernel has killed for want of memory: in which control group, and whose limit. */
      readonly outOfMemory?: string;
    };

/** What an effect of the chart is told. */
export interface VmBootEffectInput {
  readonly vmId: string;
}

export interface AcquireInput extends VmBootEffectInput {
  /** A warm VM has failed already: this one waits for a turn and is a fresh one. */
  readonly fresh: boolean;
}

/** What a look at a guest without a hello has shown: why there will be none, or undefined for patience. */
export interface Examination {
  readonly dead: Failure | undefined;
}

/** Boots that show no sign of life are replaced so often; the next one is waited for to the end. */
export const MOST_REPLACEMENTS = 2;

type Launched = { readonly pid: number };

export const vmBootSetup = setup({
  types: {
    input: {} as VmBootInput,
    context: {} as VmBootContext,
    events: {} as VmBootEvent,
    output: {} as VmBootOutput,
    children: {} as { vmm: "vmm" },
  },
  actors: {
    /** Takes a warm VM, or waits for a turn and decides where a fresh one comes from. */
    acquire: promiseStub<{ readonly origin: VmOrigin }, AcquireInput>("acquire"),
    adopt: promiseStub<Launched, VmBootEffectInput>("adopt"),
    fork: promiseStub<Launched, VmBootEffectInput>("fork"),
    clone: promiseStub<Launched, VmBootEffectInput>("clone"),
    boot: promiseStub<Launched, VmBootEffectInput>("boot"),
    connectAgent: promiseStub<void, VmBootEffectInput>("connectAgent"),
    /** Looks whether a guest that has not said hello shows signs of life. */
    examine: promiseStub<Examination, VmBootEffectInput>("examine"),
    setUpGuest: promiseStub<void, VmBootEffectInput>("setUpGuest"),
    vmm: eventStub<VmBootEvent, VmBootEffectInput>("vmm"),
  },
  actions: {
    failed: assign({
      failure: ({ context }, params: { readonly error: unknown }) =>
        context.failure ?? failureOf(params.error),
    }),
    overdue: assign({
      failure: ({ context }, params: Overdue) => context.failure ?? overdue(params, context.deadlines),
    }),
    fail: assign({
      failure: ({ context }, params: { readonly failure: Failure }) => context.failure ?? params.failure,
    }),
    /** A way to a VM is given up for the next one. */
    fallBack: assign({
      fallbacks: ({ context }, { from, failure }: Fallback) => [...context.fallbacks, { from, failure }],
    }),
    /** Tells the operator, and whoever has the template or the original, that a quick way was not taken, and why; bound in actors/. */
    tellFallback: (_, _params: Fallback) => undefined,
    /** What a VM that was given up still says is nobody's business. */
    forgetVmm: stopChild("vmm"),
    origin: assign({ origin: (_, params: { readonly origin: VmOrigin }) => params.origin }),
    launched: assign({ pid: (_, params: Launched) => params.pid }),
  },
  delays: {
    startQueue: ({ context }) => context.deadlines.startQueue,
    adopt: ({ context }) => context.deadlines.adopt,
    launch: ({ context }) => context.deadlines.launch,
    firstSign: ({ context }) => context.deadlines.firstSign,
    copyHello: ({ context }) => context.deadlines.copyHello,
    agentHello: ({ context }) => context.deadlines.agentHello,
    guestSetup: ({ context }) => context.deadlines.guestSetup,
  },
});
