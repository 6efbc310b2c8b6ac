/** A guest has a share when one of its containers needs files of the host, and not before; its server ends with the VM. */
import { describe, expect, it, vi } from "vitest";
import { blazarError } from "../../../../src/contracts/errors.ts";
import { within } from "../../../../src/lib/async.ts";
import { SHARE_PORTS } from "../../../../src/protocol/guest/messages.ts";
import { MemoryHost } from "../../../support/memory-host/host.ts";
import { containerRequest, podSpec } from "../../../support/memory-host/pods.ts";
import { rehearsable, WarmStock } from "../../../support/memory-host/warm-stock.ts";

const SERVER = "pod-layers";
const EXEC = { process: { args: ["true"], cwd: "/" }, stdin: "", stdout: "", stderr: "", terminal: false };

async function startedPod(memory: MemoryHost) {
  const actors = memory.actors();
  await actors.sandboxes.create(podSpec("pod"));
  await actors.sandboxes.start("pod");
  return { ...actors, vm: memory.driver.vm("pod") };
}

function mounts(memory: MemoryHost): number {
  return memory.driver.vm("pod").guest.requests.filter(({ op }) => op === "share.mount").length;
}

/** A host whose containers get their layers by the share. */
function withoutImages(options?: ConstructorParameters<typeof MemoryHost>[0]): MemoryHost {
  const memory = new MemoryHost(options);
  memory.images.available = false;
  return memory;
}

describe("the share of a pod", () => {
  it("is not there before a container needs it", async () => {
    const memory = new MemoryHost();
    const { sandboxes, vm } = await startedPod(memory);
    expect(memory.keeper.running).toEqual([]);
    expect([...vm.ports.keys()]).toEqual([]);
    expect([...memory.resources].filter((name) => name.includes("share"))).toEqual([]);
    await sandboxes.shutdown("pod");
  });

  it("is made once for all containers, and ends with the VM", async () => {
    const memory = withoutImages();
    const { sandboxes, tasks, vm } = await startedPod(memory);
    await Promise.all(["c1", "c2"].map((id) => tasks.create(containerRequest("pod", id))));
    expect(memory.keeper.running).toEqual([SERVER]);
    expect(vm.ports.get(SHARE_PORTS.layers)?.socket).toContain("/state/vm/");
    expect(mounts(memory)).toBe(1);
    const held = memory.journals.get("pod")?.outstanding() ?? [];
    expect(held.map(({ resource }) => resource)).toContainEqual(
      expect.objectContaining({ kind: "process", id: SERVER, pid: expect.any(Number) }),
    );
    await sandboxes.shutdown("pod");
    expect(memory.remains()).toEqual([]);
  });

  it("is served in the control group of the pod", async () => {
    const memory = withoutImages();
    const { sandboxes, tasks } = await startedPod(memory);
    await tasks.create(containerRequest("pod", "c1"));
    expect(memory.keeper.processes.get(SERVER)?.spec.cgroups).toEqual(["/cgroup/pod/cgroup.procs"]);
    await sandboxes.shutdown("pod");
  });

  it.each([
    ["the server does not start", (memory: MemoryHost) => void memory.faults.add("startFileServer")],
    [
      "the port cannot be plugged in",
      (memory: MemoryHost) => {
        const { faults } = memory.driver.vm("pod");
        faults.attachPort = blazarError("QmpFailed", "attach a port", "a fault of the test");
      },
    ],
    [
      "the guest cannot mount it",
      (memory: MemoryHost) => {
        const { faults } = memory.driver.vm("pod").guest;
        faults.fails = { "share.mount": blazarError("MountFailed", "mount", "a fault of the test") };
      },
    ],
  ])(
    "fails the container if %s, leaves nothing, and is tried again for the next one",
    async (_name, fault) => {
      const memory = withoutImages();
      const { sandboxes, tasks, vm } = await startedPod(memory);
      fault(memory);
      await expect(tasks.create(containerRequest("pod", "c1"))).rejects.toThrow("a fault of the test");
      expect(memory.keeper.processes.size).toBe(0);
      expect([...vm.ports.keys()]).toEqual([]);
      delete vm.faults.attachPort;
      delete vm.guest.faults.fails;
      await tasks.create(containerRequest("pod", "c2"));
      expect(memory.keeper.running).toEqual([SERVER]);
      await sandboxes.shutdown("pod");
      expect(memory.remains()).toEqual([]);
    },
  );

  it("is made anew for the next container if its server dies, which is told once", async () => {
    const memory = withoutImages();
    const { sandboxes, tasks } = await startedPod(memory);
    await tasks.create(containerRequest("pod", "c1"));
    memory.keeper.exit(SERVER, { signal: 11 });
    await tasks.create(containerRequest("pod", "c2"));
    expect(memory.keeper.running).toEqual([SERVER]);
    expect(mounts(memory)).toBe(2);
    const told = () => memory.logger.lines.filter(({ level }) => level === "error");
    await vi.waitFor(() => expect(told()).toHaveLength(1), { timeout: 5_000 });
    expect(told()[0]?.fields).toEqual(expect.objectContaining({ server: SERVER, ended: "signal 11" }));
    await sandboxes.shutdown("pod");
    expect(memory.remains()).toEqual([]);
  });

  it.each([
    ["an exec", "process.exec", "add a process to the container"],
    ["a start", "process.start", "start the container's process"],
    ["a creation", "container.create", "create the container"],
  ] as const)("has %s fail within seconds if its server is stopped", async (_what, op, operation) => {
    const memory = withoutImages();
    const { sandboxes, tasks, vm } = await startedPod(memory);
    await tasks.create(containerRequest("pod", "c1"));
    if (op === "process.exec") await tasks.start("c1", "");
    const pid = memory.keeper.processes.get(SERVER)?.identity.pid ?? 0;
    memory.stoppedServers.add(pid);
    vm.guest.faults.hangs = new Set([op]);
    const asked = async () => {
      if (op === "container.create") return tasks.create(containerRequest("pod", "c2"));
      if (op === "process.start") return tasks.start("c1", "");
      await tasks.exec("c1", "e1", EXEC);
      return tasks.start("c1", "e1");
    };
    await expect(asked()).rejects.toThrow(
      new RegExp(`^cannot ${operation} \\(c\\S+\\): the pod's file server is stopped \\(process ${pid}\\)`),
    );
    // what it was asked for must not happen later
    const abandoned = vm.guest.requests.filter((request) => request.op === "process.abandon");
    expect(abandoned.map(({ params }) => params)).toEqual(
      op === "process.exec" ? [{ id: "c1", execId: "e1" }] : [],
    );
    delete vm.guest.faults.hangs;
    await sandboxes.shutdown("pod");
    expect(memory.remains()).toEqual([]);
  });

  it("lets a request wait for a guest that is slow while its server works", async () => {
    const memory = withoutImages();
    const { sandboxes, tasks, vm } = await startedPod(memory);
    await tasks.create(containerRequest("pod", "c1"));
    await tasks.start("c1", "");
    vm.guest.faults.hangs = new Set(["process.exec"]);
    await tasks.exec("c1", "e1", EXEC);
    const started = tasks.start("c1", "e1");
    started.catch(() => undefined);
    expect(
      await within(
        started.then(
          () => true,
          () => true,
        ),
        3_000,
      ),
    ).toBeUndefined();
    await sandboxes.shutdown("pod");
    expect(memory.remains()).toEqual([]);
  });

  it("says nothing of a server that ends with its VM", async () => {
    const memory = withoutImages();
    const { sandboxes, tasks, vm } = await startedPod(memory);
    await tasks.create(containerRequest("pod", "c1"));
    memory.keeper.exit(SERVER);
    vm.die(-1, 9);
    await sandboxes.shutdown("pod");
    expect(memory.logger.lines.filter(({ message }) => message.includes("file server"))).toEqual([]);
    expect(memory.remains()).toEqual([]);
  });

  it("leaves no server if the VM dies while it is being made", async () => {
    for (const op of ["attachPort", "share.mount"] as const) {
      const memory = withoutImages();
      const { sandboxes, tasks, vm } = await startedPod(memory);
      if (op === "attachPort") vm.faults.attachPort = "hangs";
      else Object.assign(vm.guest.faults, { hangs: new Set([op]) });
      const created = tasks.create(containerRequest("pod", "c1"));
      created.catch(() => undefined);
      await vi.waitFor(() => expect(memory.keeper.running).toEqual([SERVER]));
      vm.die(-1, 9);
      await expect(created).rejects.toThrow();
      await sandboxes.shutdown("pod");
      expect(memory.remains()).toEqual([]);
    }
  });
});

describe("a VM that is made ahead", () => {
  it("gives its share back when it has been rehearsed", async () => {
    const memory = withoutImages({ guest: () => rehearsable });
    const stock = await WarmStock.of(memory, 1);
    const { guest, ports } = memory.driver.vm(stock.ids[0] ?? "");
    expect(guest.requests.some(({ op }) => op === "share.mount")).toBe(true);
    expect(guest.mountedShares.size).toBe(0);
    expect([...ports.keys()]).toEqual([]);
    expect(memory.keeper.processes.size).toBe(0);
    await stock.end();
    expect(memory.remains()).toEqual([]);
  });
});
