/** A keeper's death on a host in memory: what ends, what stays, and what is told (docs/adr, 25). */
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { blazarError } from "../../../../src/contracts/errors.ts";
import type { Actors } from "../../../../src/daemon/actors.ts";
import { MemoryHost } from "../../../support/memory-host/host.ts";
import { containerRequest, podSpec, putVolumes, withVolumes } from "../../../support/memory-host/pods.ts";
import { recoverMemory } from "../../../support/memory-host/recover.ts";
import { rehearsable } from "../../../support/memory-host/warm-stock.ts";

describe("a keeper that dies", () => {
  let memory: MemoryHost;
  let actors: Actors;

  beforeEach(() => {
    memory = new MemoryHost({ templates: true, guest: () => rehearsable });
    putVolumes(memory.volumes, "state");
    actors = memory.actors({ max: 1 });
  });

  afterEach(async () => {
    vi.useRealTimers();
    await actors.sandboxes.drain();
    await Promise.all([actors.pool.close(), actors.original?.close()]);
    expect(memory.remains()).toEqual([]);
  });

  async function runPod(...containers: string[]): Promise<void> {
    const { sandboxes, tasks } = actors;
    await sandboxes.create(podSpec("pod"));
    await sandboxes.start("pod");
    for (const id of containers) {
      await tasks.create(withVolumes(containerRequest("pod", id)));
      await tasks.start(id, "");
    }
  }

  const containersInGuest = () => [...memory.driver.vm("pod").guest.containers.keys()];
  const goneFromNode = () =>
    vi.waitFor(() => {
      expect(actors.containers.of("pod").map(({ id }) => id)).toEqual([]);
      expect(containersInGuest()).toEqual([]);
    });
  const notes = () =>
    (memory.histories.find("pod")?.entries.all ?? []).flatMap(({ kind, name }) =>
      kind === "note" ? [name] : [],
    );

  it("ends its containers in the guest and on the host; the sandbox is ready, and takes new ones", async () => {
    await runPod("c1", "c2");
    const ends = [actors.tasks.wait("c1", ""), actors.tasks.wait("c2", "")];
    memory.keeper.die();
    for (const end of await Promise.all(ends)) expect(end).toMatchObject({ exitStatus: 137 });
    await goneFromNode();
    expect(actors.sandboxes.status("pod").phase).toBe("ready");
    const told = "containers have ended for containerd (255), the keeper has died: c1, c2";
    expect(notes()).toContain(told);
    expect(memory.remains().filter((name) => /stdio|c1|c2/.test(name))).toEqual([]);
    // containerd may use the names again
    await actors.tasks.create(withVolumes(containerRequest("pod", "c1")));
    await actors.tasks.create(withVolumes(containerRequest("pod", "c2")));
    for (const id of ["c1", "c2"]) await actors.tasks.start(id, "");
    expect(containersInGuest()).toEqual(["c1", "c2"]);
    expect(actors.tasks.state("c1", "").status).toBe("running");
  });

  it("calls off a container that is being made", async () => {
    await runPod();
    const { guest } = memory.driver.vm("pod");
    guest.faults.hangs = new Set(["container.create"]);
    const created = actors.tasks.create(containerRequest("pod", "c1"));
    const failed = expect(created).rejects.toMatchObject({ code: "GuestLost" });
    await vi.waitFor(() => expect(guest.requests.map(({ op }) => op)).toContain("container.create"));
    memory.keeper.die();
    await failed;
    await goneFromNode();
    expect(actors.sandboxes.status("pod").phase).toBe("ready");
  });

  it("may be followed by a stop at once", async () => {
    await runPod("c1");
    memory.keeper.die();
    await actors.sandboxes.stop("pod", 0);
    await actors.sandboxes.shutdown("pod");
    expect(memory.remains()).toEqual([]);
  });

  it("tries again what it could not delete", async () => {
    await runPod("c1");
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    const { guest } = memory.driver.vm("pod");
    guest.faults.fails = { "container.delete": blazarError("HostResource", "delete", "not now") };
    memory.keeper.die();
    await vi.advanceTimersByTimeAsync(1_000);
    expect(actors.containers.has("c1")).toBe(true);
    expect(memory.logger.lines.map(({ message }) => message)).toContain(
      "a container whose keeper has died could not be deleted; it is tried again",
    );
    guest.faults.fails = {};
    await vi.advanceTimersByTimeAsync(5_000);
    expect(actors.containers.has("c1")).toBe(false);
  });

  it("has warm VMs and the original made anew: it had their taps, and the way to have them fork", async () => {
    const { pool, original } = actors;
    await runPod();
    pool.start();
    await original?.start();
    const ahead = () => memory.driver.running.filter((id) => id !== "pod");
    const ready = () => {
      expect([pool.size, original?.isThere]).toEqual([1, true]);
      expect(ahead()).toHaveLength(2);
    };
    await vi.waitFor(ready, { timeout: 5_000 });
    const before = ahead();
    memory.keeper.die();
    expect([pool.size, original?.isThere]).toEqual([0, false]);
    await vi.waitFor(ready, { timeout: 5_000 });
    expect(ahead().filter((id) => before.includes(id))).toEqual([]);
  });

  it("may die with the daemon: the next one has the sandboxes, and ends their containers", async () => {
    memory.live();
    actors = memory.actors();
    await runPod("c1");
    memory.life.end();
    memory.keeper.die();
    memory.restart();
    actors = memory.actors();
    await recoverMemory(memory, actors);
    await goneFromNode();
    expect(actors.sandboxes.status("pod").phase).toBe("ready");
    expect(notes()).toContain("containers have ended for containerd (255), an earlier keeper has died: c1");
    await actors.tasks.create(containerRequest("pod", "c1"));
    await actors.tasks.start("c1", "");
    expect(containersInGuest()).toEqual(["c1"]);
  });
});
