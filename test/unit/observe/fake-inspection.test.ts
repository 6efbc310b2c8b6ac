import { describe, expect, it } from "vitest";
import { describeInspection } from "../../support/conformance/inspection.ts";
import { FakeInspection } from "../../support/fake-inspection/inspection.ts";
import { crowdedInspection, populatedInspection } from "../../support/fake-inspection/population.ts";

describeInspection("the fake inspection", () => {
  const inspection = new FakeInspection();
  return Promise.resolve({
    inspection,
    startPod: (name, namespace) => {
      const id = inspection.startPod({ name, namespace, path: "pool", containers: 1 });
      inspection.advance(2_000);
      return Promise.resolve(id);
    },
    stopPod: (id) => {
      inspection.stopPod(id);
      inspection.advance(2_000);
      return Promise.resolve();
    },
    dispose: () => Promise.resolve(),
  });
});

describe("a populated node", () => {
  it("has a pod in each state that matters, the same in every run", async () => {
    const all = populatedInspection().list();
    const states = new Set(all.map(({ state }) => state));
    for (const state of [
      "creating",
      "booting.adopting",
      "booting.awaitingAgent.listening",
      "ready.paused",
      "stopping.vmm.killing",
    ])
      expect(states).toContain(state);
    expect(all.filter(({ stuck }) => stuck !== undefined)).toHaveLength(3);
    expect(all.filter(({ phase }) => phase === "failed")).toHaveLength(3);
    expect(populatedInspection().list()).toEqual(all);
  });

  it("tells deadlines that run with the time that is left", async () => {
    const inspection = populatedInspection();
    const adopting = inspection.list().find(({ state }) => state === "booting.adopting");
    const { deadlines, why } = await inspection.get(adopting?.id ?? "");
    expect(deadlines.map(({ name }) => name)).toEqual(["adopt"]);
    expect(deadlines[0]?.endsAt).toBe((deadlines[0]?.since ?? 0) + 10_000);
    expect(why).toContain("adopt");
  });

  it("has as many pods as asked for", () => {
    expect(crowdedInspection(500).list().length).toBeGreaterThan(450);
  });
});
