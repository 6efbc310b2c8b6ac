/** What a pod's VM is like: by its limits, then by its annotations, then as the node's configuration says. */
import { fc, test } from "@fast-check/vitest";
import { describe, expect, it } from "vitest";
import {
  beyondTheVm,
  neededFor,
  roomFor,
  type SizingRules,
  sizeOf,
} from "../../../../src/actors/vm/sizing/sizing.ts";

const MEBIBYTE = 2 ** 20;
const GIBIBYTE = 2 ** 30;
/** Of the shipped RuntimeClass. */
const OVERHEAD = 288 * MEBIBYTE;
const VMM = 144 * MEBIBYTE;

const NODE: SizingRules = {
  defaults: { vcpus: 1, memoryBytes: 256 * MEBIBYTE },
  most: { vcpus: 6, memoryBytes: 16 * GIBIBYTE },
  stepBytes: 32 * MEBIBYTE,
  headroom: 1,
  vmmBytes: () => VMM,
};

interface Pod {
  readonly vcpus?: number;
  readonly memoryBytes?: number;
  readonly overheadBytes?: number;
  readonly annotations?: Record<string, string>;
}

function sized(pod: Pod = {}, group?: number, node = NODE) {
  return sizeOf({ id: "pod", annotations: {}, ...pod }, node, group);
}

/** A pod as kubelet makes it: its group has the limit and the overhead. */
function kubelets(memoryBytes: number, overheadBytes = OVERHEAD) {
  return sized({ memoryBytes, overheadBytes }, memoryBytes + overheadBytes);
}

describe("the processors of a pod's VM", () => {
  it("are the node's default without a limit, or what the pod's annotation says", () => {
    expect(sized().size.vcpus).toBe(1);
    expect(sized({ annotations: { "io.blazar.vcpus": "3" } }).size.vcpus).toBe(3);
  });

  it("come in powers of two for a pod with a limit, and never more than the node gives", () => {
    const of = (vcpus: number) => sized({ vcpus }).size.vcpus;
    expect([1, 2, 3, 4, 5, 6].map(of)).toEqual([1, 2, 4, 4, 6, 6]);
    expect(sized({ vcpus: 6 }).warnings).toEqual([]);
    expect(sized({ vcpus: 64 })).toMatchObject({
      size: { vcpus: 6 },
      warnings: [expect.stringContaining("vmm.vcpus_limit")],
    });
  });

  it("are the limit's where the annotation says less, which is told", () => {
    const { size, warnings } = sized({ vcpus: 4, annotations: { "io.blazar.vcpus": "2" } });
    expect(size.vcpus).toBe(4);
    expect(warnings).toEqual([expect.stringContaining("io.blazar.vcpus is not used")]);
  });

  it("are more than the limit where the annotation or the node says so, for a limit that is raised later", () => {
    const annotations = { "io.blazar.vcpus": "4" };
    expect(sized({ vcpus: 2, annotations })).toEqual({
      size: { vcpus: 4, memoryBytes: NODE.defaults.memoryBytes },
      warnings: [],
    });
    expect(sized({ vcpus: 1 }, undefined, { ...NODE, headroom: 3 }).size.vcpus).toBe(4);
    expect(sized({ vcpus: 4 }, undefined, { ...NODE, headroom: 3 }).size.vcpus).toBe(6);
  });

  it("are not more than the limit where the VMM's part of the pod's group would not do", () => {
    const node = { ...NODE, headroom: 4, vmmBytes: (vcpus: number) => VMM + vcpus * 16 * MEBIBYTE };
    const limit = 256 * MEBIBYTE;
    const of = (overhead: number) =>
      sized({ vcpus: 1, memoryBytes: limit }, limit + overhead * MEBIBYTE, node).size.vcpus;
    expect([288, 304, 336].map(of)).toEqual([1, 2, 4]);
  });

  it("are no fraction where the node's most is no power of two", () => {
    const node = { ...NODE, headroom: 8, vmmBytes: (vcpus: number) => VMM + vcpus * 16 * MEBIBYTE };
    const limit = 256 * MEBIBYTE;
    const of = (overhead: number) =>
      sized({ vcpus: 1, memoryBytes: limit }, limit + overhead * MEBIBYTE, node).size.vcpus;
    expect([288, 296, 304, 336, 368].map(of)).toEqual([1, 1, 2, 4, 6]);
  });

  it("are not more than the limit where no VM could start with them", () => {
    const node = { ...NODE, headroom: 2, vmmBytes: (vcpus: number) => VMM + vcpus * 4 * MEBIBYTE };
    // 124 MiB would be left for the guest
    expect(sized({ vcpus: 1 }, 276 * MEBIBYTE, node).size).toEqual({ vcpus: 1, memoryBytes: 128 * MEBIBYTE });
  });

  it.each(["0", "-1", "two", "1.5", "", "7"])("cannot be %j", (text) => {
    expect(() => sized({ annotations: { "io.blazar.vcpus": text } })).toThrow(/io\.blazar\.vcpus.*"/);
  });
});

describe("a container's limit", () => {
  const vm = { vcpus: 1, memoryBytes: neededFor(512 * MEBIBYTE) };

  it("can be all that the VM was made for, or none at all", () => {
    for (const limit of ["536870912", "1", "max"])
      expect(beyondTheVm({ "memory.max": limit }, vm)).toBe(undefined);
    expect(beyondTheVm({}, vm)).toBe(undefined);
  });

  it("cannot be more: a sentence says so", () => {
    expect(beyondTheVm({ "memory.max": String(GIBIBYTE) }, vm)).toBe(
      "the limit is 1024Mi of memory, and containers can use 512Mi of the pod's VM",
    );
  });
});

describe("the memory of a pod's VM", () => {
  it("is the node's default without a limit, or what the pod's annotation says, in whole steps", () => {
    expect(sized().size.memoryBytes).toBe(256 * MEBIBYTE);
    const annotations = { "io.blazar.memory": "500Mi" };
    expect(sized({ annotations }).size.memoryBytes).toBe(512 * MEBIBYTE);
  });

  it.each(["", "lots", "64Mi", "1T"])("cannot be %j", (text) => {
    expect(() => sized({ annotations: { "io.blazar.memory": text } })).toThrow(/io\.blazar\.memory.*"/);
  });

  it("is the limit's where the annotation says less, which is told", () => {
    const annotations = { "io.blazar.memory": "256Mi" };
    const { size, warnings } = sized({ memoryBytes: 256 * MEBIBYTE, annotations });
    expect(roomFor(size.memoryBytes)).toBeGreaterThanOrEqual(256 * MEBIBYTE);
    expect(warnings).toEqual([expect.stringContaining("io.blazar.memory is not used")]);
  });

  it("is more than the limit where the annotation or the node says so, as far as the pod's group holds its tables", () => {
    const limit = 256 * MEBIBYTE;
    const annotations = { "io.blazar.memory": "1Gi" };
    expect(sized({ memoryBytes: limit, annotations }, limit + OVERHEAD)).toMatchObject({
      size: { memoryBytes: GIBIBYTE },
      warnings: [],
    });
    const { size, warnings } = sized({ memoryBytes: limit, annotations }, limit + OVERHEAD - 16 * MEBIBYTE);
    expect(size.memoryBytes).toBe(512 * MEBIBYTE);
    expect(warnings).toEqual([
      "io.blazar.memory asks for 1024Mi, and the VM has 512Mi: the pod's control group has 528Mi, and each GiB more takes 16Mi of its overhead",
    ]);
    const twice = { ...NODE, headroom: 2 };
    expect(roomFor(sized({ memoryBytes: limit }, undefined, twice).size.memoryBytes)).toBeGreaterThanOrEqual(
      2 * limit,
    );
    expect(sized({}, undefined, twice).size).toEqual(NODE.defaults);
  });

  it("is the same for pods of about the same limit", () => {
    const of = (limit: number) => sized({ memoryBytes: limit * MEBIBYTE }).size;
    expect(of(490)).toEqual(of(500));
  });

  it.each([64, 128, 256, 512, 1024])(
    "holds the limit of %i MiB and fits into kubelet's group with the shipped overhead",
    (limit) => {
      const { size, warnings } = kubelets(limit * MEBIBYTE);
      expect(warnings).toEqual([]);
      expect(roomFor(size.memoryBytes)).toBeGreaterThanOrEqual(limit * MEBIBYTE);
      expect(size.memoryBytes + VMM).toBeLessThanOrEqual(limit * MEBIBYTE + OVERHEAD);
    },
  );

  test.prop([fc.integer({ min: 1, max: 32 * 1024 }), fc.integer({ min: 0, max: 512 })])(
    "never lets the host's limit be met before the guest's, whatever the overhead; what it cannot hold is told",
    (limit, overhead) => {
      const [limitBytes, overheadBytes] = [limit * MEBIBYTE, overhead * MEBIBYTE];
      const fitted = () => kubelets(limitBytes, overheadBytes);
      if (limitBytes + overheadBytes < 128 * MEBIBYTE + VMM) {
        expect(fitted).toThrow(/overhead\.podFixed\.memory/);
        return;
      }
      const { size, warnings } = fitted();
      expect(size.memoryBytes + VMM).toBeLessThanOrEqual(limitBytes + overheadBytes);
      expect(size.memoryBytes % MEBIBYTE).toBe(0);
      expect(warnings.length === 0).toBe(roomFor(size.memoryBytes) >= limitBytes);
    },
  );

  it("says what overhead a pod needs that cannot have its limit", () => {
    const { size, warnings } = kubelets(512 * MEBIBYTE, 64 * MEBIBYTE);
    expect(size.memoryBytes).toBe((512 + 64) * MEBIBYTE - VMM);
    expect(warnings).toEqual([
      "the pod's control group has 576Mi, of which the VMM takes 144Mi and the guest gets 432Mi: its containers can use 307Mi of the 512Mi of their limits; set overhead.podFixed.memory of its RuntimeClass to 272Mi, it is 64Mi",
    ]);
    const enough = kubelets(512 * MEBIBYTE, 272 * MEBIBYTE);
    expect(enough.warnings).toEqual([]);
  });

  it("is the most that the node gives, although the limit is more", () => {
    const { size, warnings } = sized({ memoryBytes: 1024 * GIBIBYTE });
    expect(size.memoryBytes).toBe(NODE.most.memoryBytes);
    expect(warnings).toEqual([expect.stringContaining("vmm.memory_limit")]);
  });

  it("is less than the default where the group of a pod without limits is small", () => {
    const { size, warnings } = sized({}, 300 * MEBIBYTE);
    expect(size.memoryBytes).toBe(156 * MEBIBYTE);
    expect(warnings).toEqual([expect.stringContaining("control group has 300Mi")]);
  });

  test.prop([fc.integer({ min: 0, max: 2 ** 40 })])("has the room that it was made for", (bytes) => {
    expect(roomFor(neededFor(bytes))).toBeGreaterThanOrEqual(bytes);
  });
});
