/**
 * The life of a sandbox: creating → created → booting → ready → stopping → stopped → removed.
 *
 * Pure: every effect is a named stub here and bound in actors/sandbox/bindings.ts. How the VM comes to be is a chart of its
 * own (vm-boot). Every wait has a deadline of contracts/deadlines.ts; Stop and Shutdown are taken in every state. A failure in
 * creating or booting cleans up by itself and removes the sandbox: containerd does no rollback (its sandbox controller). A
 * sandbox that an earlier daemon has left begins in adopting, with its containers.
 */
import { or, type SnapshotFrom, stateIn } from "xstate";
import type { SandboxPhase } from "../contracts/sandbox.ts";
import { endOf } from "../lib/signals.ts";
import type { EffectInput } from "./effects.ts";
import { type Failure, failureOf, overdue } from "./failure.ts";
import { BOOT_ACTOR, containerActorId, type SandboxContext, sandboxSetup } from "./sandbox.setup.ts";
import { step } from "./step.ts";
import type { VmBootOutput } from "./vm-boot.setup.ts";

/** A guest may say anything of any container: one that is not known is not looked for. */
const passOn = sandboxSetup.enqueueActions(({ enqueue, event, self }) => {
  if (event.type !== "guest.processExited" && event.type !== "guest.oomKilled") return;
  const id = containerActorId(event.containerId);
  if (self.getSnapshot().children[id] === undefined) return;
  if (event.type === "guest.oomKilled") return enqueue.sendTo(id, { type: "container.oomKilled" });
  const { execId, status } = event;
  enqueue.sendTo(id, { type: "process.exited", execId, status });
});

/** The VM is gone, so every container is: containerd waits for their exits and then deletes them. */
const loseContainers = sandboxSetup.enqueueActions(({ enqueue, self }) => {
  for (const id of Object.keys(self.getSnapshot().children)) {
    if (id.startsWith("container/")) enqueue.sendTo(id as `container/${string}`, { type: "container.lost" });
  }
});

/** The kernel has killed the VMM for want of memory: that is why its containers end. */
const tellOutOfMemory = sandboxSetup.enqueueActions(({ enqueue, event, self }) => {
  if (event.type !== "vmm.exited" || event.outOfMemory === undefined) return;
  for (const id of Object.keys(self.getSnapshot().children))
    if (id.startsWith("container/"))
      enqueue.sendTo(id as `container/${string}`, { type: "container.oomKilled" });
});

/** Those that an earlier daemon has left; they are asked for from the beginning. */
const spawnFound = sandboxSetup.enqueueActions(({ enqueue, context }) => {
  const { sandboxId, deadlines } = context;
  for (const [containerId, found] of Object.entries(context.found?.containers ?? {})) {
    const input = { sandboxId, containerId, deadlines, found };
    enqueue.spawnChild("container", { id: containerActorId(containerId), input });
  }
});

/** What is true as soon as the VM runs nothing any more. */
const loseVm = sandboxSetup.enqueueActions(({ enqueue }) => {
  enqueue.stopChild("agent");
  enqueue.stopChild("vmm");
  enqueue("vmmGone");
  enqueue(loseContainers);
});

/** The steps of a clean-up, in their order, by the state that they are done in. */
const STEP_OF_STATE = {
  containers: "stopContainers",
  guest: "shutDownGuest",
  vmm: "endVmm",
  network: "tearDownNetwork",
  storage: "tearDownStorage",
} as const;

/** The time of the whole clean-up is over: this step and those after it are left. A VMM that lives is among them. */
const leaveTheRest = sandboxSetup.enqueueActions(({ enqueue, self }) => {
  const { value } = self.getSnapshot();
  const at = typeof value === "object" && "stopping" in value ? value.stopping : undefined;
  const state = typeof at === "string" ? at : Object.keys(at ?? {})[0];
  const order = Object.keys(STEP_OF_STATE) as (keyof typeof STEP_OF_STATE)[];
  const from = Math.max(0, (order as (string | undefined)[]).indexOf(state));
  for (const each of order.slice(from)) {
    const params = { step: STEP_OF_STATE[each] };
    enqueue({ type: "leaveBehind", params });
    enqueue({ type: "reportLeftover", params });
  }
});

const input = ({ context }: { context: SandboxContext }): EffectInput => ({ sandboxId: context.sandboxId });

const attachStreams = [
  sandboxSetup.spawnChild("vmm", { id: "vmm", input }),
  sandboxSetup.spawnChild("agent", { id: "agent", input }),
];

const PANICKED: Failure = {
  code: "GuestFailed",
  operation: "keep the sandbox alive",
  reason: "the guest's kernel panicked",
};

/** A step of the clean-up: its effect, its deadline, and the next step whatever comes of it. */
function teardown<
  Src extends "stopContainers" | "shutDownGuest" | "endVmm" | "tearDownNetwork" | "tearDownStorage",
>(
  src: Src,
  deadline: "stopContainers" | "guestShutdown" | "vmmExit" | "networkTeardown" | "storageTeardown",
  target: string,
) {
  const leave = [
    { type: "leaveBehind", params: { step: src } },
    { type: "reportLeftover", params: { step: src } },
  ] as const;
  return sandboxSetup.createStateConfig({
    invoke: { src, input, onDone: { target }, onError: { target, actions: [...leave] } },
    after: { [deadline]: { target, actions: [...leave] } },
  });
}

/** Taken in every state on the way up. */
const onTheWayUp = {
  "sandbox.stop": { target: "stopping" },
  "sandbox.shutdown": { target: "stopping", actions: "removeAfterwards" },
} as const;

const TAKE_OVER = "take over the sandbox of an earlier daemon";

type BootDone = { event: { output: VmBootOutput } };

export const sandboxMachine = sandboxSetup.createMachine({
  id: "sandbox",
  context: ({ input: given }) => ({
    ...given,
    pid: given.found?.pid ?? 0,
    failure: given.found?.failure,
    leftovers: [],
    removing: false,
    guestAlive: false,
  }),
  initial: "deciding",
  on: {
    "container.gone": {
      actions: { type: "forgetContainer", params: ({ event }) => ({ containerId: event.containerId }) },
    },
    "guest.processExited": { actions: passOn },
    "guest.oomKilled": { actions: passOn },
    "vmm.exited": { actions: "vmmGone" },
    "guest.lost": { actions: "guestGone" },
    "vmm.diskFailed": { actions: { type: "reportDiskFailure", params: ({ event }) => ({ event }) } },
  },
  states: {
    deciding: {
      always: [{ guard: "found", target: "adopting", actions: spawnFound }, { target: "creating" }],
    },
    adopting: {
      description:
        "An earlier daemon has left it: its VMM and its guest are reached again. Its failure takes the sandbox down.",
      on: {
        ...onTheWayUp,
        "guest.lost": {
          target: "stopping",
          actions: { type: "notAdopted", params: ({ event }) => ({ failure: event.failure }) },
        },
      },
      invoke: {
        src: "adopt",
        input,
        onDone: [
          {
            guard: "foundReady",
            target: "ready",
            actions: { type: "ready", params: ({ event }) => ({ pid: event.output.pid }) },
          },
          {
            target: "stopping",
            actions: [
              { type: "ready", params: ({ event }) => ({ pid: event.output.pid }) },
              ...attachStreams,
            ],
          },
        ],
        onError: {
          target: "stopping",
          actions: { type: "notAdopted", params: ({ event }) => ({ failure: failureOf(event.error) }) },
        },
      },
      after: {
        takeOver: {
          target: "stopping",
          actions: {
            type: "notAdopted",
            params: ({ context }) => ({
              failure: overdue({ wait: "takeOver", what: TAKE_OVER }, context.deadlines),
            }),
          },
        },
      },
    },
    creating: {
      description: "Directories and control groups are made; nothing runs yet.",
      on: onTheWayUp,
      ...step("provision", input, {
        deadline: "provision",
        what: "create the sandbox",
        onDone: "created",
        onFailure: "failing",
      }),
    },
    created: {
      description: "Waits for Start.",
      on: { ...onTheWayUp, "sandbox.start": { target: "booting" } },
    },
    booting: {
      description: "The chart vm-boot makes the sandbox's VM. A failure removes the sandbox.",
      exit: "endBoot",
      on: onTheWayUp,
      invoke: {
        src: "boot",
        id: BOOT_ACTOR,
        input: ({ context }) => ({ vmId: context.sandboxId, deadlines: context.deadlines }),
        onDone: [
          {
            guard: ({ event }: BootDone) => event.output.failure === undefined,
            target: "ready",
            actions: { type: "ready", params: ({ event }: BootDone) => ({ pid: event.output.pid }) },
          },
          {
            target: "failing",
            actions: { type: "fail", params: ({ event }: BootDone) => ({ failure: event.output.failure }) },
          },
        ],
        onError: {
          target: "failing",
          actions: { type: "failed", params: ({ event }) => ({ error: event.error }) },
        },
      },
    },
    failing: {
      description: "Nobody will ask for a sandbox that never was: it is taken down and removed.",
      entry: "removeAfterwards",
      always: "stopping",
    },
    ready: {
      description: "Containers can be made and run.",
      initial: "running",
      entry: attachStreams,
      on: {
        ...onTheWayUp,
        "container.add": {
          actions: sandboxSetup.spawnChild("container", {
            id: ({ event }) => containerActorId((event as { containerId: string }).containerId),
            input: ({ context, event }) => ({
              sandboxId: context.sandboxId,
              containerId: (event as { containerId: string }).containerId,
              deadlines: context.deadlines,
            }),
          }),
        },
        "vmm.exited": {
          target: "stopping",
          actions: [
            tellOutOfMemory,
            "vmmGone",
            { type: "fail", params: ({ event }) => ({ failure: vmmExited(event) }) },
          ],
        },
        "vmm.guestPanicked": {
          target: "stopping",
          actions: ["guestGone", { type: "fail", params: { failure: PANICKED } }],
        },
        "vmm.guestShutdown": {
          target: "stopping",
          actions: ["guestGone", { type: "fail", params: ({ event }) => ({ failure: poweredOff(event) }) }],
        },
        "network.lost": {
          target: "stopping",
          actions: { type: "fail", params: ({ event }) => ({ failure: event.failure }) },
        },
        "guest.lost": {
          target: "stopping",
          actions: ["guestGone", { type: "fail", params: ({ event }) => ({ failure: event.failure }) }],
        },
      },
      states: {
        running: { on: { "vmm.paused": "paused" } },
        paused: { description: "The VM's processors are halted.", on: { "vmm.resumed": "running" } },
      },
    },
    stopping: {
      description: "Takes everything down, in this order, whatever fails on the way and whatever is dead.",
      initial: "containers",
      after: {
        guestEnd: {
          guard: or([stateIn({ stopping: "containers" }), stateIn({ stopping: "guest" })]),
          target: ".vmm",
          actions: "guestGone",
        },
        stop: { target: "stopped", actions: [loseVm, leaveTheRest] },
      },
      on: {
        "sandbox.shutdown": { actions: "removeAfterwards" },
      },
      states: {
        containers: {
          initial: "deciding",
          onDone: "guest",
          states: {
            deciding: { always: [{ guard: "guestAlive", target: "killing" }, { target: "done" }] },
            killing: {
              // nobody is left who could tell of a container's end
              on: {
                "guest.lost": { target: "done", actions: "guestGone" },
                "vmm.exited": { target: "done", actions: "vmmGone" },
              },
              ...teardown("stopContainers", "stopContainers", "done"),
            },
            done: { type: "final" },
          },
        },
        guest: {
          initial: "deciding",
          onDone: "vmm",
          states: {
            deciding: { always: [{ guard: "guestAlive", target: "shuttingDown" }, { target: "done" }] },
            // A guest that does not power off in time is killed next: that is the plan, not a leftover.
            shuttingDown: {
              invoke: { src: "shutDownGuest", input, onDone: "done", onError: "done" },
              after: { guestShutdown: "done" },
            },
            done: { type: "final" },
          },
        },
        vmm: {
          initial: "killing",
          states: { killing: { after: { vmmKill: "killed" } }, killed: { entry: loseContainers } },
          ...teardown("endVmm", "vmmExit", "network"),
        },
        network: {
          entry: loseVm,
          ...teardown("tearDownNetwork", "networkTeardown", "storage"),
        },
        storage: teardown("tearDownStorage", "storageTeardown", "#sandbox.stopped"),
      },
    },
    stopped: {
      description: "Nothing runs and nothing is held; only the answers to Status and Wait are left.",
      always: { guard: "removing", target: "removed" },
      on: { "sandbox.shutdown": { target: "removed", actions: "removeAfterwards" } },
    },
    removed: { type: "final" },
  },
});

function vmmExited(event: {
  readonly code: number;
  readonly signal: number;
  readonly outOfMemory?: string;
}): Failure {
  const ended = `the VMM ended with ${endOf(event)} while the pod ran`;
  const { outOfMemory } = event;
  const reason =
    outOfMemory === undefined ? ended : `${ended}: the kernel killed ${outOfMemory} (out of memory)`;
  return { code: "VmmExited", operation: "keep the sandbox alive", reason };
}

/** Nobody has asked the guest to shut down. */
function poweredOff({ reason }: { readonly reason: string }): Failure {
  const text = `the guest shut down by itself (${reason})`;
  return { code: "GuestFailed", operation: "keep the sandbox alive", reason: text };
}

export type SandboxSnapshot = SnapshotFrom<typeof sandboxMachine>;

type StateOf<Value> = Value extends string ? Value : keyof Value;

/** What the port calls each state. Failed is one that stopped and was not asked to. */
export const PHASE_OF_STATE: Readonly<Record<StateOf<SandboxSnapshot["value"]>, SandboxPhase>> = {
  deciding: "creating",
  // containerd does not forgive a sandbox that is not ready for a moment
  adopting: "ready",
  creating: "creating",
  created: "created",
  booting: "booting",
  failing: "stopping",
  ready: "ready",
  stopping: "stopping",
  stopped: "stopped",
  removed: "stopped",
};
