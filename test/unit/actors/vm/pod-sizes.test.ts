/** A pod's VM has the size that its limits, annotations and control group say; what it cannot have is said. */
import { describe, expect, it } from "vitest";
import type { SandboxSpec } from "../../../../src/contracts/sandbox.ts";
import { MemoryHost } from "../../../support/memory-host/host.ts";
import { containerRequest, podNetwork, podSpec } from "../../../support/memory-host/pods.ts";

const MEBIBYTE = 2 ** 20;

async function pod(changes: Partial<SandboxSpec>, groupBytes?: number) {
  const memory = new MemoryHost();
  if (groupBytes !== undefined) memory.memoryLimits.set("/pod", groupBytes);
  const actors = memory.actors();
  await actors.sandboxes.create(podSpec("pod", { cgroupParent: "/pod", ...changes }));
  await actors.sandboxes.start("pod");
  const end = async () => {
    await actors.sandboxes.shutdown("pod");
    expect(memory.remains()).toEqual([]);
  };
  const { vcpus, memoryBytes } = memory.driver.vm("pod").spec;
  return { memory, ...actors, vm: { vcpus, memoryBytes }, info: actors.sandboxes.status("pod").info, end };
}

describe("a pod's VM", () => {
  it("is of the size that the pod's limits need, and its status says so", async () => {
    const { vm, info, end } = await pod({ vcpus: 3, memoryBytes: 512 * MEBIBYTE }, 1024 * MEBIBYTE);
    expect(vm).toEqual({ vcpus: 4, memoryBytes: 640 * MEBIBYTE });
    expect(info).toMatchObject({ vcpus: "4", memory: String(640 * MEBIBYTE) });
    expect(info).not.toHaveProperty("sizing");
    await end();
  });

  it("has room for containers without a limit, where kubelet has not limited the pod as a whole", async () => {
    const { vm, info, end } = await pod({ memoryBytes: 256 * MEBIBYTE });
    expect(vm.memoryBytes).toBe(544 * MEBIBYTE);
    expect(info).not.toHaveProperty("sizing");
    await end();
    const alone = await pod({ memoryBytes: 256 * MEBIBYTE, cgroupParent: "" });
    expect(alone.vm.memoryBytes).toBe(384 * MEBIBYTE);
    await alone.end();
  });

  it("is smaller where the pod's control group is, which the log and the status say", async () => {
    const limits = { memoryBytes: 512 * MEBIBYTE, overheadBytes: 64 * MEBIBYTE };
    const { memory, vm, info, end } = await pod(limits, 576 * MEBIBYTE);
    expect(vm.memoryBytes).toBe(432 * MEBIBYTE);
    expect(info["sizing"]).toContain("set overhead.podFixed.memory of its RuntimeClass to 272Mi");
    expect(memory.logger.lines).toContainEqual(
      expect.objectContaining({ level: "warn", message: info["sizing"] }),
    );
    await end();
  });

  it.each([
    [0, 1],
    [1, 1],
    [2, 2],
    [3, 4],
    [5, 8],
  ])("for a pod with %i links has %i network interfaces", async (links, nics) => {
    const memory = new MemoryHost();
    memory.networks.put("/netns", podNetwork(links));
    const { sandboxes } = memory.actors();
    await sandboxes.create(podSpec("pod", { netnsPath: links === 0 ? "" : "/netns" }));
    await sandboxes.start("pod");
    expect(memory.driver.vm("pod").spec.nics).toBe(nics);
    expect(memory.networks.joined.has("pod")).toBe(links > 0);
    await sandboxes.shutdown("pod");
    expect(memory.remains()).toEqual([]);
  });

  it.each([
    ["io.blazar.boot", "nonsense", /io\.blazar\.boot.*"nonsense" is not one of pool, clone, cold/],
    ["io.blazar.vcpus", "many", /io\.blazar\.vcpus.*"many" is no number of processors/],
    ["io.blazar.memory", "many", /io\.blazar\.memory.*"many" is no size/],
    ["io.blazar.memroy", "1Gi", /io\.blazar\.memroy.*there is no such annotation/],
  ])("is not made for a pod with the annotation %s: %s", async (name, value, message) => {
    const memory = new MemoryHost();
    const { sandboxes } = memory.actors();
    const created = sandboxes.create(podSpec("pod", { annotations: { [name]: value } }));
    await expect(created).rejects.toThrow(message);
    expect(sandboxes.ids()).toEqual([]);
    expect(memory.remains()).toEqual([]);
  });

  it("does not grow: a limit that it cannot hold is refused, and told of a container that begins with it", async () => {
    const { memory, tasks, end } = await pod({});
    const request = containerRequest("pod", "c1");
    const resources = { memory: { limit: 2048 * MEBIBYTE } };
    await tasks.create({ ...request, spec: { ...(request.spec as object), linux: { resources } } });
    const sentence = "the limit is 2048Mi of memory, and containers can use 133Mi of the pod's VM";
    expect(memory.logger.lines).toContainEqual(expect.objectContaining({ level: "warn", message: sentence }));
    await tasks.start("c1", "");
    await expect(tasks.update("c1", resources)).rejects.toMatchObject({
      code: "ResourceExhausted",
      message: expect.stringContaining(sentence),
    });
    await tasks.update("c1", { memory: { limit: 64 * MEBIBYTE } });
    await tasks.update("c1", { memory: { limit: -1 } });
    await end();
  });
});
