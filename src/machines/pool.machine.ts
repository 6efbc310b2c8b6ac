/**
 * The life of the warm pool: empty → filling → warm → draining.
 *
 * It makes one VM at a time, in the pauses between starts; below `min` it does not wait for a pause. VMs that were taken or
 * have died are made up for. Memory pressure and shutdown drain it. A VM that cannot be made or ended in time is left to itself.
 * Pure: the VMs are in actors/supply/ahead/.
 */
import { assign, setup } from "xstate";
import type { Deadlines } from "../contracts/deadlines.ts";
import { promiseStub } from "./effects.ts";

export interface PoolInput {
  /** As many are kept even under load. */
  readonly min: number;
  /** As many are made when there is nothing else to do. */
  readonly max: number;
  /** Milliseconds between two looks at whether there is something to do. */
  readonly intervalMs: number;
  readonly deadlines: Pick<Deadlines, "makeAhead" | "drainAhead">;
}

export interface PoolContext extends PoolInput {
  /** Warm VMs. */
  readonly size: number;
  /** Fills that failed in a row: each doubles the pause before the next. */
  readonly failures: number;
}

export type PoolEvent =
  /** A warm VM was taken by a start, or has died. */
  | { readonly type: "pool.lost"; readonly count: number }
  /** Memory is short. */
  | { readonly type: "pool.pressure" }
  /** The node goes away. */
  | { readonly type: "pool.close" };

/** The longest pause after failures, as a power of two of the interval. */
const MOST_DOUBLINGS = 8;

const poolSetup = setup({
  types: { input: {} as PoolInput, context: {} as PoolContext, events: {} as PoolEvent },
  actors: {
    /** Makes one warm VM. */
    fill: promiseStub<void, undefined>("fill"),
    /** Ends all warm VMs. */
    drain: promiseStub<void, undefined>("drain"),
    /** Resolves when a VM may be made: at once below min, else when the node is idle and memory is there. */
    awaitPause: promiseStub<void, { readonly urgent: boolean }>("awaitPause"),
  },
  actions: {
    failed: assign({ failures: ({ context }) => context.failures + 1 }),
    lost: assign({
      size: ({ context }, params: { readonly count: number }) => Math.max(0, context.size - params.count),
    }),
  },
  guards: {
    full: ({ context }) => context.size >= context.max,
  },
  delays: {
    makeAhead: ({ context }) => context.deadlines.makeAhead,
    drainAhead: ({ context }) => context.deadlines.drainAhead,
    retry: ({ context }) => context.intervalMs * 2 ** Math.min(context.failures, MOST_DOUBLINGS),
    relief: ({ context }) => context.intervalMs * 2 ** MOST_DOUBLINGS,
  },
});

const lost = {
  type: "lost",
  params: ({ event }: { event: { count: number } }) => ({ count: event.count }),
} as const;

export const poolMachine = poolSetup.createMachine({
  id: "pool",
  context: ({ input }) => ({ ...input, size: 0, failures: 0 }),
  initial: "empty",
  on: { "pool.lost": { actions: lost }, "pool.close": ".closing" },
  states: {
    empty: {
      description: "There is no warm VM.",
      always: { guard: ({ context }) => context.max > 0, target: "filling" },
    },
    filling: {
      description: "Warm VMs are made, one at a time.",
      initial: "waiting",
      on: { "pool.pressure": "draining" },
      states: {
        waiting: {
          always: { guard: "full", target: "#pool.warm" },
          invoke: {
            src: "awaitPause",
            input: ({ context }) => ({ urgent: context.size < context.min }),
            onDone: "making",
            onError: "pausing",
          },
        },
        making: {
          invoke: {
            src: "fill",
            onDone: {
              target: "waiting",
              actions: assign({ size: ({ context }) => context.size + 1, failures: 0 }),
            },
            onError: { target: "pausing", actions: "failed" },
          },
          after: { makeAhead: { target: "pausing", actions: "failed" } },
        },
        pausing: { after: { retry: "waiting" } },
      },
    },
    warm: {
      description: "As many as wanted are there.",
      on: {
        "pool.lost": { target: "filling", actions: lost },
        "pool.pressure": "draining",
      },
    },
    draining: {
      description: "Memory is short: all warm VMs end, and none is made for a while.",
      invoke: { src: "drain", onDone: "relieved", onError: "relieved" },
      after: { drainAhead: "relieved" },
    },
    relieved: { entry: assign({ size: 0 }), after: { relief: "empty" } },
    closing: {
      invoke: { src: "drain", onDone: "closed", onError: "closed" },
      after: { drainAhead: "closed" },
      on: { "pool.close": {} },
    },
    closed: { type: "final", entry: assign({ size: 0 }) },
  },
});
