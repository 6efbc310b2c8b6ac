/** The prepared disk of a warm VM: plugged in, mounted by its guest, given to one container and to no other. */
import { describe, expect, it } from "vitest";
import { blazarError } from "../../../../src/contracts/errors.ts";
import type { RootfsPlan } from "../../../../src/contracts/storage.ts";
import type { GuestFaults } from "../../../support/fake-guest/guest.ts";
import { MemoryHost } from "../../../support/memory-host/host.ts";
import { rehearsable, WarmStock } from "../../../support/memory-host/warm-stock.ts";

async function warm(faults: GuestFaults = {}) {
  const memory = new MemoryHost({ guest: () => ({ ...rehearsable, faults }) });
  const stock = await WarmStock.of(memory, 1);
  const vm = stock.actors.pool.reserve({ shape: memory.ports.defaultShape });
  if (vm === undefined) throw new Error("there is a warm VM");
  const files = () =>
    vm.resources.outstanding.flatMap((resource) => (resource.kind === "file" ? [resource.path] : []));
  const end = async () => {
    await vm.destroy();
    await stock.end();
    return memory.remains();
  };
  return { memory, vm, files, fake: memory.driver.vm(vm.id), path: `/scratch/${vm.id}.prepared`, end };
}

async function planOf({ ports }: MemoryHost, containerId: string): Promise<RootfsPlan> {
  const none = {
    mounts: [],
    shareDirectory: "/share",
    scratchDirectory: "/scratch",
    owner: undefined,
    withoutImage: true,
  };
  return ports.rootfs.plan({ ...none, containerId });
}

describe("a warm VM's prepared disk", () => {
  it("is plugged in, mounted by the guest, and in the journal until the VM ends", async () => {
    const { files, fake, path, end } = await warm();
    expect([...fake.disks.keys()]).toEqual(["prepared"]);
    expect([...fake.guest.preparedDisks]).toEqual(["prepared"]);
    expect(files()).toEqual([path]);
    expect(await end()).toEqual([]);
  });

  it("goes to the first container, and then belongs to that one's snapshot", async () => {
    const { memory, vm, files, end } = await warm();
    const { rootfs } = memory.ports;
    expect(await vm.takePreparedDisk(await planOf(memory, "c1"), rootfs)).toMatchObject({ id: "prepared" });
    expect(files()).toEqual([]);
    expect(await vm.takePreparedDisk(await planOf(memory, "c2"), rootfs)).toBeUndefined();
    expect(await end()).toEqual([]);
  });

  it("waits for another container if it cannot be where the first one wants it", async () => {
    const { memory, vm, files, path, end } = await warm();
    const { rootfs } = memory.ports;
    memory.rootfs.placesDisks = false;
    expect(await vm.takePreparedDisk(await planOf(memory, "c1"), rootfs)).toBeUndefined();
    expect(files()).toEqual([path]);
    memory.rootfs.placesDisks = true;
    expect(await vm.takePreparedDisk(await planOf(memory, "c2"), rootfs)).toMatchObject({ id: "prepared" });
    expect(await end()).toEqual([]);
  });

  it("is still a disk if the guest cannot mount it ahead, which is told once", async () => {
    const refused = blazarError("MountFailed", "mount a disk", "not today");
    const { memory, vm, end } = await warm({ fails: { "disk.prepare": refused } });
    const told = memory.logger.lines.filter(({ message }) => message.includes("prepared disk"));
    expect(told).toHaveLength(1);
    const disk = await vm.takePreparedDisk(await planOf(memory, "c1"), memory.ports.rootfs);
    expect(disk).toMatchObject({ id: "prepared" });
    expect(await end()).toEqual([]);
  });
});
