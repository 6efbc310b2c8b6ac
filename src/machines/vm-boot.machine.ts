/**
 * How one VM comes to be: queued → adopting, forking, cloning or booting → awaitingAgent → settingUp → ready.
 *
 * A sandbox runs it as a child, the warm pool and the originals run it by itself. Every wait has a deadline. A quick way that
 * fails or is late makes way for the next one: adopting for another turn in the queue, forking for cloning, cloning for
 * booting; each such step is told. So does a copy that runs and never says hello: what it was copied from may be damaged. Pure:
 * the effects are bound in actors/vm/bindings.ts.
 */
import type { ActorRefFrom } from "xstate";
import { endOf } from "../lib/signals.ts";
import { type Failure, failureOf, overdue } from "./failure.ts";
import { step } from "./step.ts";
import {
  type Examination,
  type Fallback,
  MOST_REPLACEMENTS,
  type VmBootContext,
  type VmBootEffectInput,
  type VmOrigin,
  vmBootSetup,
} from "./vm-boot.setup.ts";

const POWERED_OFF: Failure = {
  code: "GuestFailed",
  operation: "boot the guest",
  reason: "the guest shut down by itself",
};

const PANICKED: Failure = {
  code: "GuestFailed",
  operation: "boot the guest",
  reason: "the guest's kernel panicked",
};

type Of = { context: VmBootContext };

const input = ({ context }: Of): VmBootEffectInput => ({ vmId: context.vmId });

/** Where the chart goes on if a VM of this origin is given up, while it may be one of several ways. */
const NEXT_WAY = { fork: "#vmBoot.cloning", clone: "#vmBoot.booting" } as const;

/** A copy that does not come up makes way for the next way to a VM. */
function copyMakesWay<Args extends Of>(failure: (args: Args) => Failure) {
  const way = <From extends keyof typeof NEXT_WAY>(from: From) => {
    const params = (args: Args): Fallback => ({ from, failure: failure(args) });
    return {
      guard: ({ context }: Of) => context.origin === from,
      target: NEXT_WAY[from],
      actions: [{ type: "fallBack", params }, { type: "tellFallback", params }, { type: "forgetVmm" }],
    } as const;
  };
  return [way("fork"), way("clone")] as const;
}

/** The VMM or the guest's kernel has ended. */
function unlessItEnds<Args extends Of>(failure: (args: Args) => Failure) {
  const params = (args: Args) => ({ failure: failure(args) });
  return [...copyMakesWay(failure), { target: "failed", actions: { type: "fail", params } }] as const;
}

const whileItStarts = {
  "vmm.exited": unlessItEnds(({ event }: Of & { event: { code: number; signal: number } }) =>
    vmmExited(event),
  ),
  "vmm.guestShutdown": unlessItEnds(() => POWERED_OFF),
  "vmm.guestPanicked": unlessItEnds(() => PANICKED),
} as const;

/** The agent's hello; a copy has less time for it than a guest that boots. */
const hello = step("connectAgent", input, {
  deadline: "agentHello",
  what: "reach the guest's agent",
  code: "GuestNotReady",
  onDone: "settingUp",
  onFailure: "failed",
  remedy: "see the guest's console in the log; a busy host may need a longer deadlines.agentHello",
});
const COPY_IS_LATE = { wait: "copyHello", what: "reach the agent of a copy", code: "GuestNotReady" } as const;

const SILENT: Failure = {
  code: "GuestNotReady",
  operation: "boot the guest",
  reason: "it shows no sign of life",
};

/** The VMM runs: its pid is known and its events are listened to. */
const launched = [
  {
    type: "launched",
    params: ({ event }: { event: { output: { readonly pid: number } } }) => ({ pid: event.output.pid }),
  },
  vmBootSetup.spawnChild("vmm", { id: "vmm", input }),
] as const;

type Examined = { context: VmBootContext; event: { output: Examination } };

/** A VM of this origin shows no sign of life and makes way: a boot only so often. */
function replaced(origin: "fork" | "clone" | "boot") {
  return ({ context, event }: Examined) => {
    const boots = context.fallbacks.filter(({ from }) => from === "boot").length;
    const dead = event.output.dead !== undefined && context.origin === origin;
    return dead && (origin !== "boot" || boots < MOST_REPLACEMENTS);
  };
}

/** The VM is given up, and what it still says is not listened to; the next way ends it. */
const silent = ({ context, event }: Examined): Fallback => ({
  from: context.origin ?? "boot",
  failure: event.output.dead ?? SILENT,
});
const replace = [
  { type: "fallBack", params: silent },
  { type: "tellFallback", params: silent },
  { type: "forgetVmm" },
] as const;

/** A way to a VM, and the next one if it fails or is late. */
function attempt<Src extends "adopt" | "fork" | "clone", Deadline extends "adopt" | "launch">(
  src: Src,
  { from, what, deadline, onDone, next }: Attempt<Deadline>,
) {
  const late = ({ context }: Of) => ({ from, failure: overdue({ wait: deadline, what }, context.deadlines) });
  const failed = ({ event }: { event: { error: unknown } }) => ({ from, failure: failureOf(event.error) });
  const given = <Params>(params: Params) =>
    [
      { type: "fallBack", params },
      { type: "tellFallback", params },
    ] as const;
  return {
    entry: { type: "origin", params: { origin: from } },
    invoke: {
      src,
      input,
      onDone: { target: onDone, actions: launched },
      onError: { target: next, actions: given(failed) },
    },
    after: { [deadline]: { target: next, actions: given(late) } } as {
      [K in Deadline]: { target: string; actions: ReturnType<typeof given<typeof late>> };
    },
  } as const;
}

interface Attempt<Deadline> {
  readonly from: Fallback["from"];
  /** In the infinitive, for the error of a passed deadline. */
  readonly what: string;
  readonly deadline: Deadline;
  readonly onDone: string;
  readonly next: string;
}

export const vmBootMachine = vmBootSetup.createMachine({
  id: "vmBoot",
  context: ({ input: given }) => ({
    ...given,
    pid: 0,
    origin: undefined,
    fallbacks: [],
    failure: undefined,
  }),
  initial: "queued",
  output: ({ context }) => ({ pid: context.pid, failure: context.failure }),
  states: {
    queued: {
      description: "Takes a warm VM if there is one, else waits for its turn: starts at once are bounded.",
      ...step(
        "acquire",
        ({ context }: Of) => ({ ...input({ context }), fresh: context.fallbacks.length > 0 }),
        {
          deadline: "startQueue",
          what: "get a turn to start",
          onDone: [
            { guard: comesFrom("warm"), target: "adopting" },
            { guard: comesFrom("fork"), target: "forking" },
            { guard: comesFrom("clone"), target: "cloning" },
            { target: "booting" },
          ],
          onFailure: "failed",
        },
      ),
    },
    adopting: {
      description: "A warm VM becomes the sandbox's; its guest's set-up began when the sandbox was made.",
      ...attempt("adopt", {
        ...{ from: "warm", what: "adopt a warm VM", deadline: "adopt" },
        ...{ onDone: "settingUp", next: "queued" },
      }),
    },
    forking: {
      description: "The process of a paused VM is copied.",
      ...attempt("fork", {
        ...{ from: "fork", what: "fork a VM", deadline: "launch" },
        ...{ onDone: "awaitingAgent", next: "cloning" },
      }),
    },
    cloning: {
      description: "The memory of a template is copied on write.",
      ...attempt("clone", {
        ...{ from: "clone", what: "clone a VM", deadline: "launch" },
        ...{ onDone: "awaitingAgent", next: "booting" },
      }),
    },
    booting: {
      description: "The VMM is started; the guest's kernel boots.",
      entry: { type: "origin", params: { origin: "boot" } },
      ...step("boot", input, {
        deadline: "launch",
        what: "start the VMM",
        onDone: { target: "awaitingAgent", actions: launched },
        onFailure: "failed",
      }),
    },
    awaitingAgent: {
      description: "The guest boots, if it does not run already; its agent says hello.",
      on: whileItStarts,
      invoke: {
        ...hello.invoke,
        onError: [
          ...copyMakesWay(({ event }: Of & { event: { error: unknown } }) => failureOf(event.error)),
          hello.invoke.onError,
        ],
      },
      after: {
        ...hello.after,
        copyHello: [...copyMakesWay(({ context }) => overdue(COPY_IS_LATE, context.deadlines))],
      },
      initial: "listening",
      states: {
        listening: {
          description: "Most guests say hello before anybody looks at them.",
          after: { firstSign: "examining" },
        },
        examining: {
          description:
            "A guest without a hello is looked at. Without a sign of life, the VM makes way for another.",
          invoke: {
            src: "examine",
            input,
            onDone: [
              { guard: replaced("fork"), target: "#vmBoot.cloning", actions: replace },
              { guard: replaced("clone"), target: "#vmBoot.booting", actions: replace },
              { guard: replaced("boot"), target: "#vmBoot.booting", actions: replace },
              { target: "listening" },
            ],
            onError: "listening",
          },
        },
      },
    },
    settingUp: {
      description:
        "The agent takes over host name, share, entropy and clock; the guest of an adopted VM has done so already.",
      on: whileItStarts,
      ...step("setUpGuest", input, {
        deadline: "guestSetup",
        what: "set up the guest",
        onDone: "ready",
        onFailure: "failed",
      }),
    },
    ready: { type: "final" },
    failed: { type: "final" },
  },
});

function comesFrom(origin: VmOrigin) {
  return ({ event }: { event: { output: { readonly origin: VmOrigin } } }) => event.output.origin === origin;
}

function vmmExited(event: { readonly code: number; readonly signal: number }): Failure {
  const reason = `the VMM ended with ${endOf(event)} while the guest booted`;
  return { code: "VmmExited", operation: "boot the guest", reason };
}

export type VmBootActor = ActorRefFrom<typeof vmBootMachine>;
