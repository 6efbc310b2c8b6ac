/** The spare disk of a warm VM: plugged in, prepared by its guest, given to one container and to no other. */
import { describe, expect, it } from "vitest";
import { SandboxRuntime } from "../../../../src/actors/sandbox/sandbox.actor.ts";
import { poolSpec } from "../../../../src/actors/supply/pool.actor.ts";
import { blazarError } from "../../../../src/contracts/errors.ts";
import type { RootfsPlan } from "../../../../src/contracts/storage.ts";
import type { GuestFaults } from "../../../support/fake-guest/guest.ts";
import { MemoryHost } from "../../../support/memory-host/host.ts";

const ID = "pool-1";
const { signal } = new AbortController();

async function warm(faults: GuestFaults = {}) {
  const memory = new MemoryHost({ guest: () => ({ faults }) });
  const runtime = new SandboxRuntime(poolSpec(ID), memory.host);
  await runtime.warmUp(signal);
  await runtime.plugSpare(signal);
  const files = () =>
    runtime.journal
      .outstanding()
      .flatMap(({ resource }) => (resource.kind === "file" ? [resource.path] : []));
  return { memory, runtime, files, vm: memory.driver.vm(ID) };
}

async function planOf({ host }: MemoryHost, containerId: string): Promise<RootfsPlan> {
  const none = { mounts: [], shareDirectory: "/share", scratchDirectory: "/scratch", owner: undefined };
  return host.rootfs.plan({ ...none, containerId });
}

describe("a warm VM's spare disk", () => {
  it("is plugged in, mounted by the guest, and in the journal until the VM ends", async () => {
    const { memory, runtime, files, vm } = await warm();
    expect([...vm.disks.keys()]).toEqual(["spare"]);
    expect([...vm.guest.preparedDisks]).toEqual(["spare"]);
    expect(files()).toEqual(["/scratch/pool-1.spare"]);
    await runtime.destroy();
    expect(memory.remains()).toEqual([]);
  });

  it("goes to the first container, and then belongs to that one's snapshot", async () => {
    const { memory, runtime, files } = await warm();
    expect(await runtime.takeSpare(await planOf(memory, "c1"))).toMatchObject({ id: "spare" });
    expect(files()).toEqual([]);
    expect(await runtime.takeSpare(await planOf(memory, "c2"))).toBeUndefined();
    await runtime.destroy();
  });

  it("waits for another container if it cannot be where the first one wants it", async () => {
    const { memory, runtime, files } = await warm();
    memory.movesSpares = false;
    expect(await runtime.takeSpare(await planOf(memory, "c1"))).toBeUndefined();
    expect(files()).toEqual(["/scratch/pool-1.spare"]);
    memory.movesSpares = true;
    expect(await runtime.takeSpare(await planOf(memory, "c2"))).toMatchObject({ id: "spare" });
    await runtime.destroy();
  });

  it("is still a disk if the guest cannot prepare it, which is told once", async () => {
    const refused = blazarError("MountFailed", "mount a disk", "not today");
    const { memory, runtime } = await warm({ fails: { "disk.prepare": refused } });
    const told = memory.logger.lines.filter(({ message }) => message.includes("spare disk"));
    expect(told).toHaveLength(1);
    expect(await runtime.takeSpare(await planOf(memory, "c1"))).toMatchObject({ id: "spare" });
    await runtime.destroy();
  });
});
