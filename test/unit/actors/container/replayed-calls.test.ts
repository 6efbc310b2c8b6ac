/** Task calls that an earlier daemon has not answered come again: what it has done is no reason to fail. */
import { describe, expect, it } from "vitest";
import { criSpec } from "../../../support/cri-spec.ts";
import { MemoryHost } from "../../../support/memory-host/host.ts";
import { mortalDaemon, nextDaemon } from "../../../support/memory-host/next-daemon.ts";
import { containerRequest, podSpec } from "../../../support/memory-host/pods.ts";

const AGAIN = { replayed: true, token: "1/7" };
const FIRST = { replayed: false, token: "1/7" };
const { process } = criSpec();
const EXEC = { process, stdin: "", stdout: "/f/o", stderr: "", terminal: false };

/** A pod with `c1`, which has been made and not started; and what the next daemon makes of it. */
async function pod() {
  const memory = new MemoryHost();
  const { sandboxes, tasks } = mortalDaemon(memory);
  await sandboxes.create(podSpec("pod"));
  await sandboxes.start("pod");
  const { pid } = await tasks.create(containerRequest("pod", "c1"));
  const die = async () => {
    const next = await nextDaemon(memory);
    const end = async () => {
      await next.sandboxes.shutdown("pod");
      expect(memory.remains()).toEqual([]);
    };
    return { ...next, end };
  };
  return { memory, tasks, pid, guest: memory.driver.vm("pod").guest, die };
}

describe("a call that comes again after its daemon's death", () => {
  it("finds the container that it has made, but not one of another bundle, nor one that has been started", async () => {
    const { pid, die } = await pod();
    const { tasks, end } = await die();
    expect(await tasks.create(containerRequest("pod", "c1"), AGAIN)).toEqual({ pid });
    const other = { ...containerRequest("pod", "c1"), bundle: "/other" };
    await expect(tasks.create(other, AGAIN)).rejects.toMatchObject({ code: "ContainerExists" });
    await expect(tasks.create(containerRequest("pod", "c1"), FIRST)).rejects.toMatchObject({
      code: "ContainerExists",
    });
    await tasks.start("c1", "");
    await expect(tasks.create(containerRequest("pod", "c1"), AGAIN)).rejects.toMatchObject({
      code: "ContainerExists",
    });
    await end();
  });

  it("finds the process started: one that runs, and one that has ended since", async () => {
    const { tasks: before, pid, guest, die } = await pod();
    await before.start("c1", "");
    const { tasks, end } = await die();
    expect(await tasks.start("c1", "", AGAIN)).toEqual({ pid });
    await expect(tasks.start("c1", "", FIRST)).rejects.toMatchObject({ code: "IllegalTransition" });
    guest.process("c1").exit(5);
    expect(await tasks.wait("c1", "")).toMatchObject({ exitStatus: 5 });
    expect(await tasks.start("c1", "", AGAIN)).toEqual({ pid });
    await end();
  });

  it("finds the exec registered, and starts it once", async () => {
    const { tasks: before, guest, die } = await pod();
    await before.start("c1", "");
    await before.exec("c1", "e1", EXEC);
    const { tasks, end } = await die();
    await tasks.exec("c1", "e1", EXEC, AGAIN);
    await tasks.start("c1", "e1", AGAIN);
    expect(guest.process("c1", "e1").state).toBe("running");
    await expect(tasks.exec("c1", "e1", EXEC, AGAIN)).rejects.toMatchObject({ code: "ProcessExists" });
    await end();
  });

  it("finds nothing of what it has deleted", async () => {
    const { tasks: before, die } = await pod();
    await before.delete("c1", "");
    const { tasks, end } = await die();
    await expect(tasks.delete("c1", "")).rejects.toMatchObject({ code: "ContainerNotFound" });
    await end();
  });

  it("finds the container paused, or going on", async () => {
    const { tasks: before, die } = await pod();
    await before.start("c1", "");
    await before.pause("c1");
    const { tasks, end } = await die();
    await tasks.pause("c1", AGAIN);
    await expect(tasks.pause("c1", FIRST)).rejects.toMatchObject({ code: "IllegalTransition" });
    await tasks.resume("c1", AGAIN);
    await tasks.resume("c1", AGAIN);
    expect(tasks.state("c1", "").status).toBe("running");
    await end();
  });
});

describe("an exit that nobody was told of", () => {
  it("is found in the guest by the next daemon, and told once", async () => {
    const { memory, tasks: before, guest, die } = await pod();
    await before.start("c1", "");
    memory.life.end();
    guest.process("c1").exit(7);
    memory.events.length = 0;
    const { tasks, end } = await die();
    expect(await tasks.wait("c1", "")).toMatchObject({ exitStatus: 7 });
    expect(memory.events.map(({ type }) => type)).toEqual(["exit"]);
    await end();
  });
});
