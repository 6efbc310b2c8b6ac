/** What becomes of a pod's new limits: in its guest, on its host, and in what a later daemon knows. */
import { describe, expect, it } from "vitest";
import type { PodLimits, PodResources, SandboxSpec } from "../../../../src/contracts/sandbox.ts";
import { MemoryHost } from "../../../support/memory-host/host.ts";
import { podSpec } from "../../../support/memory-host/pods.ts";

const MEBIBYTE = 2 ** 20;
const PERIOD = 100_000;

function limits(
  processors: number | undefined,
  mebibytes: number | undefined,
  overhead: PodResources = {},
): PodLimits {
  return {
    containers: {
      ...(processors === undefined ? {} : { cpu: { quota: processors * PERIOD, period: PERIOD } }),
      ...(mebibytes === undefined ? {} : { memoryBytes: mebibytes * MEBIBYTE }),
    },
    overhead,
  };
}

/** Of 2 processors and 256 MiB unless the spec says otherwise. */
async function pod(changes: Partial<SandboxSpec> = {}) {
  const memory = new MemoryHost();
  const actors = memory.actors();
  await actors.sandboxes.create(podSpec("pod", { vcpus: 2, memoryBytes: 256 * MEBIBYTE, ...changes }));
  await actors.sandboxes.start("pod");
  const guest = memory.driver.vm("pod").guest;
  const resize = (to: PodLimits) => actors.sandboxes.resize("pod", to);
  const end = async () => {
    await actors.sandboxes.shutdown("pod");
    expect(memory.remains()).toEqual([]);
  };
  return { memory, ...actors, guest, resize, end };
}

describe("a pod that runs", () => {
  it("gets lower limits, and higher ones up to what its VM has: in the guest and on the host", async () => {
    const { memory, guest, resize, end } = await pod();
    await resize(limits(0.5, 64, { cpu: { quota: 25_000, period: PERIOD } }));
    expect(guest.podCgroup).toEqual({ "cpu.max": "50000 100000", "memory.max": String(64 * MEBIBYTE) });
    expect([...memory.cpuLimits]).toEqual([["/cgroup/pod", { quota: 75_000, period: PERIOD }]]);
    await resize(limits(2, 256));
    expect(guest.podCgroup).toEqual({ "cpu.max": "200000 100000", "memory.max": String(256 * MEBIBYTE) });
    await resize(limits(undefined, undefined));
    expect(guest.podCgroup).toEqual({ "cpu.max": "max 100000", "memory.max": "max" });
    expect([...memory.cpuLimits]).toEqual([["/cgroup/pod", undefined]]);
    await end();
  });

  it.each([
    [limits(1, 512), /the limit would be 512Mi of memory, and containers can use 25\dMi of its VM/],
    [limits(3, 64), /the limit would be 3 processors, and its VM has 2/],
  ])("is refused what its VM cannot hold, with a sentence, and keeps what it had", async (to, sentence) => {
    const { memory, guest, resize, end } = await pod();
    await expect(resize(to)).rejects.toMatchObject({
      code: "ResourceExhausted",
      message: expect.stringMatching(sentence),
    });
    expect([guest.podCgroup, memory.cpuLimits.size]).toEqual([{}, 0]);
    await end();
  });

  it("keeps a limit that its VM could not hold from the start: only more of it is refused", async () => {
    const { memory, resize, end } = await pod({ memoryBytes: 2 ** 50 });
    const most = memory.driver.vm("pod").spec.memoryBytes;
    expect(most).toBeLessThan(2 ** 50);
    await resize(limits(1, 2 ** 30));
    await resize(limits(1, 64));
    await expect(resize(limits(1, 2 ** 30))).rejects.toMatchObject({ code: "ResourceExhausted" });
    await end();
  });

  it.each([
    [false, false, "max 100000", "max", undefined],
    [true, false, "max 100000", String(64 * MEBIBYTE), undefined],
    [false, true, "50000 100000", "max", { quota: 50_000, period: PERIOD }],
  ])(
    "of which kubelet limits memory: %s, processors: %s, has just these limits in its guest and on its host",
    async (...[isMemoryLimited, isCpuLimited, cpu, bytes, onHost]) => {
      const { memory, guest, resize, end } = await pod({ cgroupParent: "/kubepods/pod" });
      if (isMemoryLimited) memory.memoryLimits.set("/kubepods/pod", 2 ** 30);
      if (isCpuLimited) memory.limitedCpus.add("/kubepods/pod");
      await resize(limits(0.5, 64));
      expect(guest.podCgroup).toEqual({ "cpu.max": cpu, "memory.max": bytes });
      expect([...memory.cpuLimits]).toEqual([["/cgroup/pod", onHost]]);
      await end();
    },
  );

  it("changes its limits in the order of the calls", async () => {
    const { guest, resize, end } = await pod();
    await Promise.all([resize(limits(1, 128)), resize(limits(2, 64)), resize(limits(0.5, 200))]);
    expect(guest.podCgroup).toEqual({ "cpu.max": "50000 100000", "memory.max": String(200 * MEBIBYTE) });
    await end();
  });

  it("has its new limits in its journal: a later daemon refuses and allows by them", async () => {
    const { memory, resize, end } = await pod();
    await resize(limits(1, 64, { memoryBytes: 32 * MEBIBYTE }));
    const spec = () => memory.journals.get("pod")?.facts.get("sandbox");
    const memoryBytes = 64 * MEBIBYTE;
    expect(spec()).toMatchObject({ vcpus: 1, memoryBytes, overheadBytes: 32 * MEBIBYTE });
    await resize(limits(undefined, undefined));
    expect(spec()).not.toHaveProperty("memoryBytes");
    await end();
  });
});

describe("what a pod takes of the host", () => {
  it("is what its VMM's control group counts; no guest is asked", async () => {
    const { sandboxes, end } = await pod();
    const { memoryUsage, cpu } = await sandboxes.usage("pod");
    expect([memoryUsage.current, cpu.get("usage_usec")]).toEqual([4096n, 7n]);
    await end();
  });
});

describe("a pod that does not run", () => {
  it("is not resized, and says what it is", async () => {
    const memory = new MemoryHost();
    const { sandboxes } = memory.actors();
    await sandboxes.create(podSpec("pod"));
    await expect(sandboxes.resize("pod", limits(1, 64))).rejects.toMatchObject({
      code: "SandboxNotReady",
      message: expect.stringContaining("it is created"),
    });
    await expect(sandboxes.usage("pod")).rejects.toMatchObject({ code: "SandboxNotReady" });
    await expect(sandboxes.resize("none", limits(1, 64))).rejects.toMatchObject({ code: "SandboxNotFound" });
    await sandboxes.shutdown("pod");
  });
});
