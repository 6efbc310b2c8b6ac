/**
 * The life of a container's resources: creating → present → deleting → deleted.
 *
 * Its root, disk and namespaces live here; what runs in it are process machines, its children: the init
 * process (execId "") and execs. containerd's view of a container is the state of its init process. A container that is taken
 * over from an earlier daemon is present from the beginning.
 */
import { type ActorRefFrom, type AnyActorRef, assign, sendParent, setup, stopChild } from "xstate";
import type { Deadlines } from "../contracts/deadlines.ts";
import { SIGKILL, signalStatus } from "../lib/signals.ts";
import { type EffectInput, promiseStub } from "./effects.ts";
import { type Failure, failureOf, overdue } from "./failure.ts";
import { type FoundProcess, processMachine } from "./process.machine.ts";

export interface ContainerInput {
  readonly sandboxId: string;
  readonly containerId: string;
  readonly deadlines: Deadlines;
  /** The processes of a container that an earlier daemon has left, by exec id. Default: it is new. */
  readonly found?: Readonly<Record<string, FoundProcess>> | undefined;
}

export interface ContainerContext extends ContainerInput {
  readonly failure: Failure | undefined;
}

export type ContainerEvent =
  | { readonly type: "container.delete" }
  /** The VM is gone: every process has ended with 128 + SIGKILL. */
  | { readonly type: "container.lost" }
  | { readonly type: "process.add"; readonly execId: string }
  | { readonly type: "process.remove"; readonly execId: string }
  | {
      readonly type: "process.exited";
      readonly execId: string;
      readonly status: number;
    }
  /** An earlier daemon has started it. */
  | { readonly type: "process.found"; readonly execId: string }
  /** The guest's kernel has killed processes of the container for want of memory; their exits follow. */
  | { readonly type: "container.oomKilled" };

/** The actor id of a process's child actor. */
export function processActorId(execId: string): `process/${string}` {
  return `process/${execId}`;
}

const containerSetup = setup({
  types: {
    input: {} as ContainerInput,
    context: {} as ContainerContext,
    events: {} as ContainerEvent,
    children: {} as { [process: `process/${string}`]: "process" },
  },
  actors: {
    create: promiseStub<void>("create"),
    remove: promiseStub<void>("remove"),
    process: processMachine,
  },
  actions: {
    /** Tells whoever watches the container; bound in actors/. */
    announceOom: () => undefined,
    tellParent: sendParent(({ context }: { context: ContainerContext }) => ({
      type: "container.gone",
      containerId: context.containerId,
    })),
  },
  guards: { found: ({ context }) => context.found !== undefined },
  delays: {
    containerCreate: ({ context }) => context.deadlines.containerCreate,
    containerDelete: ({ context }) => context.deadlines.containerDelete,
  },
});

const input = ({ context }: { context: ContainerContext }): EffectInput => ({
  sandboxId: context.sandboxId,
  containerId: context.containerId,
});

const spawnProcess = (execId: string) =>
  containerSetup.spawnChild("process", {
    id: processActorId(execId),
    input: ({ context }) => ({
      sandboxId: context.sandboxId,
      containerId: context.containerId,
      execId,
      deadlines: context.deadlines,
    }),
  });

/** Those that an earlier daemon has left. */
const spawnFound = containerSetup.enqueueActions(({ enqueue, context }) => {
  const { sandboxId, containerId, deadlines } = context;
  for (const [execId, found] of Object.entries(context.found ?? {})) {
    const input = { sandboxId, containerId, execId, deadlines, found };
    enqueue.spawnChild("process", { id: processActorId(execId), input });
  }
});

/** A process that has ended takes nothing any more. */
function isActive(process: AnyActorRef | undefined): process is AnyActorRef {
  return (process?.getSnapshot() as { readonly status: string } | undefined)?.status === "active";
}

/** A guest may say that anything has ended, and as often as it likes: what is not known is nobody's business. */
const passOn = containerSetup.enqueueActions(({ enqueue, event, self }) => {
  if (event.type !== "process.exited" && event.type !== "process.found") return;
  const id = processActorId(event.execId);
  if (!isActive(self.getSnapshot().children[id])) return;
  if (event.type === "process.found") return enqueue.sendTo(id, { type: "process.found" });
  enqueue.sendTo(id, { type: "process.exited", status: event.status });
});

/** Every process that has not ended is told that it has. */
const loseProcesses = containerSetup.enqueueActions(({ enqueue, self }) => {
  for (const [id, child] of Object.entries(self.getSnapshot().children)) {
    if (isActive(child))
      enqueue.sendTo(id as `process/${string}`, {
        type: "process.exited",
        status: signalStatus(SIGKILL),
      });
  }
});

export const containerMachine = containerSetup.createMachine({
  id: "container",
  context: ({ input: given }) => ({ ...given, failure: undefined }),
  initial: "deciding",
  states: {
    deciding: {
      always: [{ guard: "found", target: "present", actions: spawnFound }, { target: "creating" }],
    },
    creating: {
      description: "The root is mounted, the disk plugged in, the guest has cloned the init process.",
      invoke: {
        src: "create",
        input,
        onDone: { target: "present", actions: spawnProcess("") },
        onError: {
          target: "abandoning",
          actions: assign({ failure: ({ event }) => failureOf(event.error) }),
        },
      },
      after: {
        containerCreate: {
          target: "abandoning",
          actions: assign({
            failure: ({ context }) =>
              overdue({ wait: "containerCreate", what: "create the container" }, context.deadlines),
          }),
        },
      },
      on: {
        "container.lost": {
          target: "abandoning",
          actions: assign({
            failure: {
              code: "GuestLost",
              operation: "create the container",
              reason: "the sandbox ended meanwhile",
            },
          }),
        },
        "container.delete": {
          target: "abandoning",
          actions: assign({
            failure: {
              code: "Cancelled",
              operation: "create the container",
              reason: "it was deleted meanwhile",
            },
          }),
        },
      },
    },
    present: {
      description: "The container is there; its processes have charts of their own.",
      on: {
        "process.add": {
          actions: containerSetup.spawnChild("process", {
            id: ({ event }) => processActorId((event as { execId: string }).execId),
            input: ({ context, event }) => ({
              sandboxId: context.sandboxId,
              containerId: context.containerId,
              execId: (event as { execId: string }).execId,
              deadlines: context.deadlines,
            }),
          }),
        },
        "process.remove": { actions: stopChild(({ event }) => processActorId(event.execId)) },
        "process.exited": { actions: passOn },
        "process.found": { actions: passOn },
        "container.oomKilled": { actions: "announceOom" },
        "container.lost": { actions: loseProcesses },
        "container.delete": { target: "deleting" },
      },
    },
    deleting: {
      description: "Guest, disk and mounts are undone.",
      invoke: {
        src: "remove",
        input,
        onDone: "deleted",
        onError: { target: "present", actions: assign({ failure: ({ event }) => failureOf(event.error) }) },
      },
      after: {
        containerDelete: {
          target: "present",
          actions: assign({
            failure: ({ context }) =>
              overdue({ wait: "containerDelete", what: "delete the container" }, context.deadlines),
          }),
        },
      },
      on: {
        "container.lost": { actions: loseProcesses },
        // one that was started meanwhile
        "process.exited": { actions: passOn },
      },
    },
    abandoning: {
      description: "A creation that failed is undone; its failure stays the answer.",
      invoke: { src: "remove", input, onDone: "deleted", onError: "deleted" },
      after: { containerDelete: "deleted" },
    },
    deleted: { type: "final", entry: "tellParent" },
  },
});

export type ContainerActor = ActorRefFrom<typeof containerMachine>;
