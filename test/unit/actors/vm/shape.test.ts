/** A VM has what its pod may use, what the guest itself needs, and never less than the node's default. */
import { describe, expect, it } from "vitest";
import { shapeOf } from "../../../../src/actors/vm/shape.ts";

const MEBIBYTE = 1024 * 1024;
const NODE = { vcpus: 2, memoryBytes: 256 * MEBIBYTE };

describe("the shape of a pod's VM", () => {
  it("is the node's default for a pod without limits", () => {
    expect(shapeOf({}, NODE)).toEqual({ vcpus: 2, memoryBytes: 256 * MEBIBYTE });
  });

  it("has room for the guest beside what the pod's limits promise", () => {
    const { vcpus, memoryBytes } = shapeOf({ vcpus: 4, memoryBytes: 512 * MEBIBYTE }, NODE);
    expect(vcpus).toBe(4);
    expect(memoryBytes).toBeGreaterThan(512 * MEBIBYTE);
  });

  it("is never smaller than the default", () => {
    expect(shapeOf({ vcpus: 1, memoryBytes: MEBIBYTE }, NODE)).toEqual({
      vcpus: 2,
      memoryBytes: 256 * MEBIBYTE,
    });
  });
});
