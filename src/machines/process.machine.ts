/**
 * The life of one process in a container: pending → starting → running → exited.
 *
 * `pending` is what OCI calls created: the init process waits before its execve, an exec is only registered.
 * An exit may overtake the answer to start; it is taken in every state. The process of a container that is taken over from an
 * earlier daemon begins where it is.
 */
import { type ActorRefFrom, assign, setup } from "xstate";
import type { Deadlines } from "../contracts/deadlines.ts";
import { type EffectInput, promiseStub } from "./effects.ts";
import { type Failure, failureOf, overdue } from "./failure.ts";

export interface ProcessInput {
  readonly sandboxId: string;
  readonly containerId: string;
  /** "" for the init process. */
  readonly execId: string;
  readonly deadlines: Deadlines;
  /** Where an earlier daemon has left it. Default: it is new. */
  readonly found?: FoundProcess | undefined;
}

/** A process that an earlier daemon has left. */
export interface FoundProcess {
  readonly state: "pending" | "running" | "exited";
  /** Exit status; 0 until it has exited. */
  readonly status: number;
}

export interface ProcessContext extends ProcessInput {
  /** Exit status, 0–255; 0 until it has exited. */
  readonly status: number;
  /** Why the start failed. */
  readonly failure: Failure | undefined;
}

export type ProcessEvent =
  | { readonly type: "process.start" }
  /** It runs already: an earlier daemon has started it. */
  | { readonly type: "process.found" }
  | { readonly type: "process.exited"; readonly status: number };

/** What a shell and runc report for a command that could not be started. */
const START_FAILED_STATUS = 127;

export const processMachine = setup({
  types: { input: {} as ProcessInput, context: {} as ProcessContext, events: {} as ProcessEvent },
  actors: { start: promiseStub<void>("start") },
  actions: {
    /** Tells whoever waits for it, unless that was done before; bound in actors/. */
    announceStart: () => undefined,
    announceExit: () => undefined,
  },
  guards: {
    found: ({ context }, params: { readonly as: FoundProcess["state"] }) =>
      context.found?.state === params.as,
  },
  delays: { processStart: ({ context }) => context.deadlines.processStart },
}).createMachine({
  id: "process",
  context: ({ input }) => ({ ...input, status: input.found?.status ?? 0, failure: undefined }),
  initial: "deciding",
  on: {
    "process.exited": {
      target: ".exited",
      actions: assign(({ event }) => ({ status: event.status })),
    },
  },
  states: {
    deciding: {
      always: [
        { guard: { type: "found", params: { as: "running" } }, target: "running" },
        { guard: { type: "found", params: { as: "exited" } }, target: "exited" },
        { target: "pending" },
      ],
    },
    pending: { on: { "process.start": "starting", "process.found": "running" } },
    starting: {
      invoke: {
        src: "start",
        input: ({ context }): EffectInput => ({
          sandboxId: context.sandboxId,
          containerId: context.containerId,
          execId: context.execId,
        }),
        onDone: "running",
        onError: {
          target: "exited",
          actions: assign(({ event }) => ({ status: START_FAILED_STATUS, failure: failureOf(event.error) })),
        },
      },
      after: {
        processStart: {
          target: "exited",
          actions: assign(({ context }) => ({
            status: START_FAILED_STATUS,
            failure: overdue({ wait: "processStart", what: "start the process" }, context.deadlines),
          })),
        },
      },
    },
    running: { entry: "announceStart" },
    exited: { type: "final", entry: "announceExit" },
  },
});

export type ProcessActor = ActorRefFrom<typeof processMachine>;
