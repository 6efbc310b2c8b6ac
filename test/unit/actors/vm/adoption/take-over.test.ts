/** What a daemon takes over of its predecessor's VMs, and what it takes out of them because it was half made. */
import { describe, expect, it, vi } from "vitest";
import { DEFAULT_DEADLINES } from "../../../../../src/contracts/deadlines.ts";
import { blazarError } from "../../../../../src/contracts/errors.ts";
import { deferred, within } from "../../../../../src/lib/async.ts";
import { FAKE_TEMPLATE_DISK } from "../../../../support/fake-vmm/vm.ts";
import { MemoryHost } from "../../../../support/memory-host/host.ts";
import { mortalDaemon, nextDaemon } from "../../../../support/memory-host/next-daemon.ts";
import { containerRequest, podSpec } from "../../../../support/memory-host/pods.ts";

type Options = ConstructorParameters<typeof MemoryHost>[0];

/** A pod that runs `c0`, on a host whose daemon can die. */
async function running(options: Options = {}, changes: Parameters<typeof podSpec>[1] = {}) {
  const memory = new MemoryHost(options);
  const { sandboxes, tasks } = mortalDaemon(memory);
  await sandboxes.create(podSpec("pod", changes));
  await sandboxes.start("pod");
  await tasks.create(containerRequest("pod", "c0"));
  await tasks.start("c0", "");
  return { memory, tasks, vm: memory.driver.vm("pod") };
}

/** A pod whose daemon dies before it has written down that `c1` is made. */
async function justMade() {
  const { memory, tasks, vm } = await running();
  await tasks.create(containerRequest("pod", "c1"));
  for (const fact of ["inside/c1", "container/c1", "process/c1/"])
    memory.journals.get("pod")?.facts.delete(fact);
  return { memory, vm };
}

const HANGS = { guest: () => ({ faults: { hangs: new Set(["container.create" as const]) } }) };

/** A pod whose daemon dies in the middle of the creation of `c1`. */
async function halfMade(options: Options = {}) {
  const memory = new MemoryHost({ ...HANGS, ...options });
  const { sandboxes, tasks } = mortalDaemon(memory);
  await sandboxes.create(podSpec("pod"));
  await sandboxes.start("pod");
  const vm = memory.driver.vm("pod");
  tasks.create(containerRequest("pod", "c1")).catch(() => undefined);
  await vi.waitFor(() => expect(vm.guest.requests.map(({ op }) => op)).toContain("container.create"));
  vm.guest.faults.hangs = new Set();
  return { memory, vm };
}

describe("a pod that is taken over", () => {
  it("has the size of its VM, whatever limits the next daemon has", async () => {
    const { memory } = await running({}, { annotations: { "io.blazar.vcpus": "8" } });
    const mostSize = { vcpus: 1, memoryBytes: 2 ** 27 };
    const { sandboxes, tasks } = await nextDaemon(memory, { mostSize });
    await expect.poll(() => sandboxes.status("pod").info["state"]).toBe("ready.running");
    expect(sandboxes.status("pod").info).toMatchObject({ vcpus: "8", memory: `${2 ** 28}` });
    expect(sandboxes.entry("pod").sandbox.backend.size()).toEqual({ vcpus: 8, memoryBytes: 2 ** 28 });
    expect(tasks.state("c0", "").status).toBe("running");
    await sandboxes.shutdown("pod");
    expect(memory.remains()).toEqual([]);
  });

  it("is taken over though its annotations would be refused today", async () => {
    const { memory } = await running();
    const facts = memory.journals.get("pod")?.facts ?? new Map();
    const annotations = { "io.blazar.of-yesterday": "1", "io.blazar.memory": "much" };
    facts.set("sandbox", podSpec("pod", { annotations }));
    const { sandboxes } = await nextDaemon(memory);
    await expect.poll(() => sandboxes.status("pod").info["state"]).toBe("ready.running");
    await sandboxes.shutdown("pod");
    expect(memory.remains()).toEqual([]);
  });

  it("is asked again over another connection when its agent does not answer", async () => {
    const { memory, vm } = await running();
    vm.guest.faults.hangs = new Set(["sandbox.inventory"]);
    const deadlines = { ...DEFAULT_DEADLINES, takeOverTry: 20 };
    const { sandboxes, tasks } = await nextDaemon(memory, { deadlines });
    const asked = () => vm.guest.requests.filter(({ op }) => op === "sandbox.inventory").length;
    await expect.poll(asked).toBeGreaterThan(2);
    vm.guest.faults.hangs = new Set();
    await expect.poll(() => sandboxes.status("pod").info["state"]).toBe("ready.running");
    expect(tasks.state("c0", "").status).toBe("running");
    await sandboxes.shutdown("pod");
    expect(memory.remains()).toEqual([]);
  });

  it("is not given up if it has been reached in the very moment in which its container's kill is late", async () => {
    const { memory } = await running();
    const deadlines = { ...DEFAULT_DEADLINES, guestKill: 30 };
    const { sandboxes, tasks } = await nextDaemon(memory, { deadlines });
    await expect.poll(() => sandboxes.status("pod").info["state"]).toBe("ready.running");
    // the chart knows, and whoever waits for it has not been told yet
    const { sandbox } = sandboxes.entry("pod");
    const told = deferred<void>();
    sandbox.adopted = told.promise;
    const killed = tasks.kill("c0", "", 9, false);
    // by then a guest that is not reached would have been given up, and the kill be done
    expect(
      await within(
        killed.then(() => "done"),
        3 * deadlines.guestKill,
      ),
    ).toBeUndefined();
    expect(sandboxes.status("pod").info["state"]).toBe("ready.running");
    sandbox.adopted = undefined;
    told.resolve();
    await killed;
    expect(await tasks.wait("c0", "")).toMatchObject({ exitStatus: 137 });
    expect(sandboxes.status("pod").info["state"]).toBe("ready.running");
    await sandboxes.shutdown("pod");
    expect(memory.remains()).toEqual([]);
  });

  it("is given up if its agent does not answer while its container is to be killed", async () => {
    const { memory, vm } = await running();
    vm.guest.faults.hangs = new Set(["sandbox.inventory"]);
    const deadlines = { ...DEFAULT_DEADLINES, guestKill: 30 };
    const { sandboxes, tasks } = await nextDaemon(memory, { deadlines });
    await tasks.kill("c0", "", 9, false).catch(() => undefined);
    expect(await tasks.wait("c0", "")).toMatchObject({ exitStatus: 137 });
    await expect.poll(() => sandboxes.status("pod").phase).toBe("failed");
    expect(sandboxes.status("pod").info["failure"]).toContain("its container is to be killed");
    await sandboxes.shutdown("pod");
    expect(memory.remains()).toEqual([]);
  });
});

describe("a container that a dead daemon had half made", () => {
  it.each(["a prepared disk", "a disk of its own"])("is made again on %s", async (which) => {
    const { memory, vm } = await halfMade({ templates: which === "a prepared disk" });
    const [disk, ...others] = vm.disks.keys();
    expect({ prepared: disk === FAKE_TEMPLATE_DISK, others }).toEqual({
      prepared: which === "a prepared disk",
      others: [],
    });
    const { sandboxes, tasks } = await nextDaemon(memory);
    await tasks.create(containerRequest("pod", "c1"), { replayed: true, token: "1/1" });
    expect([...vm.disks.values()].map(({ path }) => path)).toEqual(["/disks/c1"]);
    await tasks.start("c1", "");
    await sandboxes.shutdown("pod");
    expect(memory.remains()).toEqual([]);
  });

  it("leaves the pod's prepared disk alone if no container has had it", async () => {
    const memory = new MemoryHost({ templates: true });
    const { sandboxes } = mortalDaemon(memory);
    await sandboxes.create(podSpec("pod"));
    await sandboxes.start("pod");
    const next = await nextDaemon(memory);
    await next.tasks.create(containerRequest("pod", "c1"));
    expect([...memory.driver.vm("pod").disks.keys()]).toEqual([FAKE_TEMPLATE_DISK]);
    await next.sandboxes.shutdown("pod");
    expect(memory.remains()).toEqual([]);
  });

  it("ends no pod if the host does not let go of its root, and can be removed with it", async () => {
    const { memory } = await halfMade();
    memory.faults.add("release");
    const { sandboxes } = await nextDaemon(memory);
    await expect.poll(() => sandboxes.status("pod").info["state"]).toBe("ready.running");
    await sandboxes.shutdown("pod");
    expect(memory.remains()).toEqual([]);
  });

  it.each(["the VMM does not let go of its disk", "the guest does not let go of it", "the VMM hangs"])(
    "ends no pod if %s",
    async (trouble) => {
      vi.useFakeTimers({
        toFake: ["setTimeout", "clearTimeout", "setInterval", "clearInterval", "performance"],
      });
      try {
        const inGuest = trouble.startsWith("the guest");
        const { memory, vm } = await (inGuest ? justMade() : halfMade());
        if (inGuest) vm.guest.faults.hangs = new Set(["container.delete"]);
        else if (trouble === "the VMM hangs") vm.faults.detachDisk = "hangs";
        else vm.faults.detachDisk = blazarError("QmpFailed", "detach", "no");
        const { sandboxes, tasks } = await nextDaemon(memory);
        await vi.advanceTimersByTimeAsync(DEFAULT_DEADLINES.takeOver - 1);
        expect(sandboxes.status("pod").info["state"]).toBe("ready.running");
        expect(memory.logger.lines.map(({ message }) => message)).toContain(
          "what an earlier daemon had half made of a container stays until the sandbox ends",
        );
        vm.guest.faults.hangs = new Set();
        delete vm.faults.detachDisk;
        // its lease on the image has the container's name, and the VM still has the image
        const again = tasks.create(containerRequest("pod", "c1"), { replayed: true, token: "1/1" });
        await expect(again).rejects.toMatchObject({ code: "HostResource" });
        await Promise.all([sandboxes.shutdown("pod"), vi.advanceTimersByTimeAsync(10_000)]);
        expect(memory.remains()).toEqual([]);
      } finally {
        vi.useRealTimers();
      }
    },
  );
});
