/** The charts of containers and processes alone: stubbed effects, simulated time. */
import { describe, expect, it } from "vitest";
import { createActor, fromPromise, SimulatedClock } from "xstate";
import { DEFAULT_DEADLINES } from "../../../src/contracts/deadlines.ts";
import { containerMachine, processActorId } from "../../../src/machines/container.machine.ts";
import type { EffectInput } from "../../../src/machines/effects.ts";
import { processMachine } from "../../../src/machines/process.machine.ts";

const settle = () => new Promise((resolve) => setImmediate(resolve));

function bench() {
  const clock = new SimulatedClock();
  const calls: string[] = [];
  const answers: { resolve: () => void; reject: (error: unknown) => void }[] = [];
  const told: string[] = [];
  const effect = (name: string) =>
    fromPromise<void, EffectInput>(
      ({ input }) =>
        new Promise((resolve, reject) => {
          calls.push(input.execId === undefined ? name : `${name} ${input.execId}`);
          answers.push({ resolve, reject });
        }),
    );
  const process = processMachine.provide({
    actors: { start: effect("start") },
    actions: {
      announceStart: ({ context }) => told.push(`started ${context.execId}`),
      announceExit: ({ context }) => told.push(`exited ${context.execId} ${context.status}`),
    },
  });
  const actor = createActor(
    containerMachine.provide({
      actors: { create: effect("create"), remove: effect("remove"), process },
      // alone here: there is no sandbox to tell
      actions: { tellParent: () => undefined, announceOom: () => told.push("out of memory") },
    }),
    { input: { sandboxId: "s1", containerId: "c1", deadlines: DEFAULT_DEADLINES }, clock },
  );
  actor.start();
  const answer = async (error?: unknown) => {
    const next = answers.shift();
    if (next === undefined) throw new Error("nothing is under way");
    if (error === undefined) next.resolve();
    else next.reject(error);
    await settle();
  };
  const processState = (execId: string) =>
    actor.getSnapshot().children[processActorId(execId)]?.getSnapshot();
  const startProcess = (execId: string) =>
    actor.getSnapshot().children[processActorId(execId)]?.send({ type: "process.start" });
  return { actor, answer, calls, clock, told, processState, startProcess };
}

describe("a container", () => {
  it("that is being deleted still tells the end of a process that was started meanwhile", async () => {
    const { actor, answer, told, startProcess } = bench();
    await answer();
    actor.send({ type: "container.delete" });
    startProcess("");
    actor.send({ type: "process.exited", execId: "", status: 3 });
    expect(told).toEqual(["exited  3"]);
    expect(actor.getSnapshot().value).toBe("deleting");
  });

  it("has a pending init process once it is created", async () => {
    const { actor, answer, processState } = bench();
    await answer();
    expect(actor.getSnapshot().value).toBe("present");
    expect(processState("")?.value).toBe("pending");
  });

  it("undoes a creation that fails and keeps the failure", async () => {
    const { actor, answer, calls } = bench();
    await answer(new Error("no disk"));
    expect(actor.getSnapshot().value).toBe("abandoning");
    await answer();
    expect(calls).toEqual(["create", "remove"]);
    expect(actor.getSnapshot()).toMatchObject({
      status: "done",
      context: { failure: { reason: "no disk" } },
    });
  });

  it("gives a creation up at its deadline", async () => {
    const { actor, clock } = bench();
    clock.increment(DEFAULT_DEADLINES.containerCreate);
    expect(actor.getSnapshot()).toMatchObject({
      value: "abandoning",
      context: { failure: { code: "DeadlineExceeded" } },
    });
  });

  it("abandons a creation when its sandbox is lost", () => {
    const { actor } = bench();
    actor.send({ type: "container.lost" });
    expect(actor.getSnapshot()).toMatchObject({
      value: "abandoning",
      context: { failure: { code: "GuestLost" } },
    });
  });

  it("runs its processes, each with its own exit", async () => {
    const { actor, answer, told, startProcess, processState } = bench();
    await answer();
    startProcess("");
    await answer();
    actor.send({ type: "process.add", execId: "e1" });
    startProcess("e1");
    await answer();
    actor.send({ type: "process.exited", execId: "e1", status: 3 });
    expect(told).toEqual(["started ", "started e1", "exited e1 3"]);
    expect(processState("")?.value).toBe("running");
  });

  it("tells a kill for want of memory at once, and not with an exit", async () => {
    const { actor, answer, told, startProcess } = bench();
    await answer();
    startProcess("");
    await answer();
    actor.send({ type: "container.oomKilled" });
    expect(told).toEqual(["started ", "out of memory"]);
    actor.send({ type: "process.exited", execId: "", status: 137 });
    expect(told).toEqual(["started ", "out of memory", "exited  137"]);
  });

  it("takes an exit that overtakes the answer to start, once", async () => {
    const { actor, answer, told, startProcess, processState } = bench();
    await answer();
    startProcess("");
    actor.send({ type: "process.exited", execId: "", status: 7 });
    await answer();
    actor.send({ type: "process.exited", execId: "", status: 9 });
    expect(told).toEqual(["exited  7"]);
    expect(processState("")?.context).toMatchObject({ status: 7 });
  });

  it("ends every process with 137 when its sandbox is lost, but leaves earlier exits alone", async () => {
    const { actor, answer, told, startProcess } = bench();
    await answer();
    actor.send({ type: "process.add", execId: "e1" });
    startProcess("");
    await answer();
    actor.send({ type: "process.exited", execId: "", status: 1 });
    actor.send({ type: "container.lost" });
    await settle();
    expect(told).toEqual(["started ", "exited  1", "exited e1 137"]);
  });

  it("reports a start that fails as an exit with its reason", async () => {
    const { answer, startProcess, processState } = bench();
    await answer();
    startProcess("");
    await answer(new Error("no such file"));
    expect(processState("")).toMatchObject({
      value: "exited",
      context: { status: 127, failure: { reason: "no such file" } },
    });
  });

  it("stays when its deletion fails, so that it can be tried again", async () => {
    const { actor, answer } = bench();
    await answer();
    actor.send({ type: "container.delete" });
    await answer(new Error("busy"));
    expect(actor.getSnapshot()).toMatchObject({ value: "present", context: { failure: { reason: "busy" } } });
    actor.send({ type: "container.delete" });
    await answer();
    expect(actor.getSnapshot().status).toBe("done");
  });
});
