/** Taking all pods off a node, on sandboxes that are in memory. */
import { describe, expect, it } from "vitest";
import { SandboxDrain } from "../../../../src/actors/sandbox/node-drain.ts";
import type { DrainProgress } from "../../../../src/contracts/drain.ts";
import { silentLogger } from "../../../../src/contracts/logger.ts";
import { MemoryHost } from "../../../support/memory-host/host.ts";
import { podSpec } from "../../../support/memory-host/pods.ts";

async function nodeWithPods(...ids: readonly string[]) {
  const memory = new MemoryHost();
  const { sandboxes } = memory.actors();
  for (const id of ids) {
    await sandboxes.create(podSpec(id));
    await sandboxes.start(id);
  }
  return { memory, sandboxes, node: new SandboxDrain(sandboxes, silentLogger) };
}

describe("a drain", () => {
  it("stops every sandbox, and tells of each", async () => {
    const { sandboxes, node } = await nodeWithPods("a", "b");
    const told: DrainProgress[] = [];
    await node.drain((progress) => told.push(progress));
    expect(told.map(({ left }) => left)).toEqual([2, 1, 0]);
    expect(told.map(({ ended }) => ended?.id).sort()).toEqual(["a", "b", undefined]);
    expect(told.at(-1)?.ended).toMatchObject({
      pod: { namespace: "default" },
      state: "stopped",
      leftovers: "",
    });
    expect(node.left()).toEqual([]);
    // what containerd asks for is still known
    expect(sandboxes.status("a")).toMatchObject({ phase: "stopped", exitStatus: 0 });
  });

  it("refuses new sandboxes until it is called off", async () => {
    const { sandboxes, node } = await nodeWithPods();
    await node.drain(() => undefined);
    const refused = { code: "Draining", kind: "unavailable", message: /undrain/ };
    await expect(sandboxes.create(podSpec("late"))).rejects.toMatchObject({
      ...refused,
      message: expect.stringMatching(refused.message),
    });
    expect(sandboxes.ids()).toEqual([]);
    node.undrain();
    await sandboxes.create(podSpec("later"));
    expect(sandboxes.status("later").phase).toBe("created");
  });

  it("ends sandboxes that are being made, and takes those that have ended for ended", async () => {
    const { sandboxes, node } = await nodeWithPods("stopped");
    await sandboxes.stop("stopped", 0);
    await sandboxes.create(podSpec("created"));
    const told: DrainProgress[] = [];
    await node.drain((progress) => told.push(progress));
    expect(told.map(({ ended, left }) => [ended?.id, left])).toEqual([
      [undefined, 1],
      ["created", 0],
    ]);
  });
});
