/** Whoever waits for a process is always told of its end, also of one that never was. */
import { describe, expect, it, vi } from "vitest";
import { ContainerTasks } from "../../../../src/actors/container/task-service.ts";
import { SandboxRegistry } from "../../../../src/actors/sandbox/registry.ts";
import { poolSpec } from "../../../../src/actors/supply/pool.actor.ts";
import { criSpec } from "../../../support/cri-spec.ts";
import { MemoryHost } from "../../../support/memory-host/host.ts";

describe("a wait for a container", () => {
  it("ends with the container's creation if that comes to nothing", async () => {
    const memory = new MemoryHost({
      guest: () => ({ faults: { hangs: new Set(["container.create"]) } }),
    });
    const sandboxes = new SandboxRegistry(memory.host);
    const tasks = new ContainerTasks(memory.host, sandboxes);
    await sandboxes.create(poolSpec("pod"));
    await sandboxes.start("pod");
    const { mounts, ...rest } = criSpec();
    const created = tasks.create({
      sandboxId: "pod",
      id: "c1",
      bundle: "/bundles/c1",
      rootfs: [{ type: "bind", source: "/layer", target: "", options: ["rbind", "ro"] }],
      stdin: "",
      stdout: "/f/o",
      stderr: "",
      terminal: false,
      spec: { ...rest, mounts: mounts.filter(({ type }) => type !== "bind") },
    });
    created.catch(() => undefined);
    const { guest } = memory.driver.vm("pod");
    await vi.waitFor(() => expect(guest.requests.map(({ op }) => op)).toContain("container.create"));
    const waited = tasks.wait("c1", "");
    memory.driver.vm("pod").die(-1, 9);
    expect(await waited).toMatchObject({ exitStatus: 137 });
    await expect(created).rejects.toMatchObject({ code: "GuestLost" });
    await sandboxes.shutdown("pod");
    expect(memory.remains()).toEqual([]);
  });
});
