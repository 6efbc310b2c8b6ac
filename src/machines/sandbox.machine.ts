/**
 * The life of a sandbox: creating → created → booting → ready → stopping → stopped → removed.
 *
 * Pure: every effect is a named stub here and bound in actors/sandbox/registry.ts. Every wait has a deadline
 * of contracts/deadlines.ts; Stop and Shutdown are taken in every state; a failure in creating or booting
 * cleans up by itself and removes the sandbox, because containerd does no rollback (containerd#sandbox API).
 */
import { assign, type SnapshotFrom, stopChild } from "xstate";
import type { EffectInput } from "./effects.ts";
import { type Failure, overdue } from "./failure.ts";
import { containerActorId, type SandboxContext, sandboxSetup } from "./sandbox.setup.ts";

/** A guest may say that anything has ended: what is not known is nobody's business. */
const passExitOn = sandboxSetup.enqueueActions(({ enqueue, event, self }) => {
  if (event.type !== "guest.processExited") return;
  const id = containerActorId(event.containerId);
  if (self.getSnapshot().children[id] === undefined) return;
  const { execId, status, oomKilled } = event;
  enqueue.sendTo(id, { type: "process.exited", execId, status, oomKilled });
});

/** The VM is gone, so every container is: containerd waits for their exits and then deletes them. */
const loseContainers = sandboxSetup.enqueueActions(({ enqueue, self }) => {
  for (const id of Object.keys(self.getSnapshot().children)) {
    if (id.startsWith("container/")) enqueue.sendTo(id as `container/${string}`, { type: "container.lost" });
  }
});

const input = ({ context }: { context: SandboxContext }): EffectInput => ({ sandboxId: context.sandboxId });

const PANICKED: Failure = {
  code: "GuestFailed",
  operation: "keep the sandbox alive",
  reason: "the guest's kernel panicked",
};

/** The VMM runs: its pid is known and its events are listened to. */
const launched = [
  sandboxSetup.assign({
    pid: ({ event }) => (event as unknown as { output: { pid: number } }).output.pid,
  }),
  sandboxSetup.spawnChild("vmm", { id: "vmm", input }),
];

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

export const sandboxMachine = sandboxSetup.createMachine({
  id: "sandbox",
  context: ({ input: given }) => ({
    ...given,
    pid: 0,
    failure: undefined,
    leftovers: [],
    removing: false,
    guestAlive: false,
  }),
  initial: "creating",
  on: {
    "container.gone": {
      actions: { type: "forgetContainer", params: ({ event }) => ({ containerId: event.containerId }) },
    },
    "guest.processExited": { actions: passExitOn },
    "vmm.exited": { actions: "vmmGone" },
    "guest.lost": { actions: assign({ guestAlive: false }) },
  },
  states: {
    creating: {
      description: "Directories, control groups and the network are made; nothing runs yet.",
      invoke: {
        src: "provision",
        input,
        onDone: "created",
        onError: {
          target: "stopping",
          actions: [{ type: "failed", params: ({ event }) => ({ error: event.error }) }, "removeAfterwards"],
        },
      },
      after: {
        provision: {
          target: "stopping",
          actions: [
            { type: "overdue", params: { wait: "provision", what: "create the sandbox" } },
            "removeAfterwards",
          ],
        },
      },
      on: {
        "sandbox.stop": { target: "stopping" },
        "sandbox.shutdown": { target: "stopping", actions: "removeAfterwards" },
      },
    },
    created: {
      description: "Waits for Start.",
      on: {
        "sandbox.start": { target: "booting" },
        "sandbox.stop": { target: "stopping" },
        "sandbox.shutdown": { target: "stopping", actions: "removeAfterwards" },
      },
    },
    booting: {
      description: "From the VMM's start until containers can run. Any failure removes the sandbox.",
      initial: "queued",
      exit: "endTurn",
      on: {
        "sandbox.stop": { target: "stopping" },
        "sandbox.shutdown": { target: "stopping", actions: "removeAfterwards" },
        "vmm.exited": {
          target: "stopping",
          actions: [
            "vmmGone",
            {
              type: "fail",
              params: ({ event }) => ({ failure: vmmExited(event, "while the guest booted") }),
            },
            "removeAfterwards",
          ],
        },
        "vmm.guestPanicked": {
          target: "stopping",
          actions: [
            {
              type: "fail",
              params: {
                failure: PANICKED,
              },
            },
            "removeAfterwards",
          ],
        },
        "guest.lost": {
          target: "stopping",
          actions: [
            { type: "fail", params: ({ event }) => ({ failure: event.failure }) },
            "removeAfterwards",
          ],
        },
      },
      states: {
        queued: {
          description:
            "Takes a warm VM if there is one, else waits for its turn: starts at once are bounded.",
          invoke: {
            src: "acquire",
            input,
            onDone: [
              { guard: ({ event }) => event.output.source === "pool", target: "adopting" },
              { guard: ({ event }) => event.output.source === "clone", target: "forking" },
              { target: "coldBooting" },
            ],
            onError: {
              target: "#sandbox.stopping",
              actions: [
                { type: "failed", params: ({ event }) => ({ error: event.error }) },
                "removeAfterwards",
              ],
            },
          },
          after: {
            startQueue: {
              target: "#sandbox.stopping",
              actions: [
                { type: "overdue", params: { wait: "startQueue", what: "get a turn to start" } },
                "removeAfterwards",
              ],
            },
          },
        },
        adopting: {
          description:
            "A VM of the pool becomes the sandbox's: its guest's set-up began when the sandbox was made.",
          invoke: {
            src: "adopt",
            input,
            onDone: { target: "settingUp", actions: [...launched, assign({ guestAlive: true })] },
            onError: {
              target: "forking",
              actions: { type: "reportFallback", params: ({ event }) => ({ error: event.error }) },
            },
          },
          after: { adopt: "forking" },
        },
        forking: {
          description: "A copy-on-write clone of a booted template.",
          invoke: {
            src: "fork",
            input,
            onDone: { target: "awaitingAgent", actions: launched },
            onError: {
              target: "coldBooting",
              actions: { type: "reportFallback", params: ({ event }) => ({ error: event.error }) },
            },
          },
          after: { launch: "coldBooting" },
        },
        coldBooting: {
          description: "The VMM is started and answers.",
          invoke: {
            src: "launch",
            input,
            onDone: { target: "awaitingAgent", actions: launched },
            onError: {
              target: "#sandbox.stopping",
              actions: [
                { type: "failed", params: ({ event }) => ({ error: event.error }) },
                "removeAfterwards",
              ],
            },
          },
          after: {
            launch: {
              target: "#sandbox.stopping",
              actions: [
                { type: "overdue", params: { wait: "launch", what: "start the VMM" } },
                "removeAfterwards",
              ],
            },
          },
        },
        awaitingAgent: {
          description: "The guest boots; its agent says hello.",
          invoke: {
            src: "connectAgent",
            input,
            onDone: { target: "settingUp", actions: assign({ guestAlive: true }) },
            onError: {
              target: "#sandbox.stopping",
              actions: [
                { type: "failed", params: ({ event }) => ({ error: event.error }) },
                "removeAfterwards",
              ],
            },
          },
          after: {
            agentHello: {
              target: "#sandbox.stopping",
              actions: [
                assign({
                  failure: ({ context }) =>
                    context.failure ?? {
                      ...overdue("reach the guest's agent", context.deadlines.agentHello),
                      code: "GuestNotReady",
                      remedy:
                        "see the guest's console in the log; a busy host may need a longer deadlines.agentHello",
                    },
                }),
                "removeAfterwards",
              ],
            },
          },
        },
        settingUp: {
          description:
            "The agent takes over host name, share, entropy and clock; an adopted one has done so already.",
          entry: sandboxSetup.spawnChild("agent", { id: "agent", input }),
          invoke: {
            src: "setUpGuest",
            input,
            onDone: "#sandbox.ready",
            onError: {
              target: "#sandbox.stopping",
              actions: [
                { type: "failed", params: ({ event }) => ({ error: event.error }) },
                "removeAfterwards",
              ],
            },
          },
          after: {
            guestSetup: {
              target: "#sandbox.stopping",
              actions: [
                { type: "overdue", params: { wait: "guestSetup", what: "set up the guest" } },
                "removeAfterwards",
              ],
            },
          },
        },
      },
    },
    ready: {
      description: "Containers can be made and run.",
      initial: "running",
      on: {
        "sandbox.stop": { target: "stopping" },
        "sandbox.shutdown": { target: "stopping", actions: "removeAfterwards" },
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
            "vmmGone",
            { type: "fail", params: ({ event }) => ({ failure: vmmExited(event, "while the pod ran") }) },
          ],
        },
        "vmm.guestPanicked": {
          target: "stopping",
          actions: {
            type: "fail",
            params: { failure: PANICKED },
          },
        },
        "guest.lost": {
          target: "stopping",
          actions: [
            assign({ guestAlive: false }),
            { type: "fail", params: ({ event }) => ({ failure: event.failure }) },
          ],
        },
      },
      states: {
        running: { on: { "vmm.paused": "paused" } },
        paused: { description: "The VM's processors are halted.", on: { "vmm.resumed": "running" } },
      },
    },
    stopping: {
      description: "Takes everything down, in this order, whatever fails on the way.",
      initial: "containers",
      on: {
        "sandbox.shutdown": { actions: "removeAfterwards" },
      },
      states: {
        containers: {
          initial: "deciding",
          onDone: "guest",
          states: {
            deciding: { always: [{ guard: "guestAlive", target: "killing" }, { target: "done" }] },
            killing: teardown("stopContainers", "stopContainers", "done"),
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
        vmm: teardown("endVmm", "vmmExit", "network"),
        network: {
          entry: [stopChild("agent"), stopChild("vmm"), "vmmGone", loseContainers],
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

function vmmExited(event: { code: number; signal: number }, when: string): Failure {
  const how = event.signal > 0 ? `was ended by signal ${event.signal}` : `exited with code ${event.code}`;
  return { code: "VmmExited", operation: "keep the sandbox alive", reason: `the VMM ${how} ${when}` };
}

export type SandboxSnapshot = SnapshotFrom<typeof sandboxMachine>;
