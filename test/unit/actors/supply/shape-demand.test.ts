/** What VMs are made like ahead of demand: as the pods of late have asked for. */
import { describe, expect, it } from "vitest";
import { ShapeDemand } from "../../../../src/actors/supply/ahead/shape-demand.ts";

const SMALL = { vcpus: 1, memoryBytes: 2 ** 28, nics: 1 };
const LARGE = { vcpus: 2, memoryBytes: 2 ** 30, nics: 1 };

function demand(...pods: (typeof SMALL)[]): ShapeDemand {
  const made = new ShapeDemand(SMALL);
  for (const pod of pods) made.note(pod);
  return made;
}

describe("the demand for sizes", () => {
  it("is the default's before the first pod", () => {
    expect(demand().favourite()).toBe(SMALL);
    expect(demand().next([SMALL], 2)).toBe(SMALL);
    expect(demand().surplus([SMALL, SMALL], 2)).toBe(-1);
  });

  it("is that of the pods of late, and what is there gives way only to a clear majority", () => {
    expect(demand(LARGE).favourite()).toBe(LARGE);
    expect(demand(LARGE).favourite(SMALL)).toBe(SMALL);
    expect(demand(LARGE, LARGE).favourite(SMALL)).toBe(LARGE);
    expect(demand(SMALL, LARGE, SMALL, LARGE, LARGE).favourite(SMALL)).toBe(SMALL);
    const old = Array.from({ length: 20 }, () => SMALL);
    const recent = Array.from({ length: 16 }, () => LARGE);
    expect(demand(...old, ...recent).favourite(SMALL)).toBe(LARGE);
  });

  it("is shared out among the sizes", () => {
    const mixed = demand(SMALL, LARGE, SMALL, SMALL);
    expect(mixed.next([], 4)).toBe(SMALL);
    expect(mixed.next([SMALL, SMALL, SMALL], 4)).toBe(LARGE);
    expect(mixed.surplus([SMALL, SMALL, SMALL, LARGE], 4)).toBe(-1);
    expect(mixed.surplus([LARGE, SMALL, SMALL, LARGE], 4)).toBe(0);
    expect(demand(LARGE).surplus([SMALL], 1)).toBe(0);
  });
});
