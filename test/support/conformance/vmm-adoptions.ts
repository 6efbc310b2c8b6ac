/** The part of the suite of VMM drivers about VMs whose daemon has died: the next one takes them over. */
import { describe, expect, it } from "vitest";
import type { Vm, VmSpec } from "../../../src/contracts/vm.ts";
import type { AdoptedVm, VmAdoption, VmmDriver } from "../../../src/contracts/vmm.ts";
import { SIGKILL } from "../../../src/lib/signals.ts";
import { SLOT_SERIALS } from "../../../src/protocol/guest/messages.ts";
import { greet, record, type VmmBench } from "./vmm-bench.ts";

/** What a driver's bench has to have for it. */
export type AdoptionBench = Pick<VmmBench, "killFromOutside" | "daemonDies" | "leftovers"> & {
  readonly driver: VmmDriver;
};

/** What the next daemon knows of a VM. */
export function adoptionOf({ id, identity, nics }: Vm, { directory }: VmSpec): VmAdoption {
  return { id, identity, directory, nics };
}

export function adopting(bench: () => VmmBench): void {
  describe("a VM whose daemon has died", () => {
    it("is taken over with its agent, again and again, and ends as any other", async () => {
      const spec = await bench().spec("vm");
      await expectAdoptions(bench(), await bench().driver.launch(spec), spec);
    });

    it("has its disks, images and ports, which can be detached and attached anew", async () => {
      const { driver } = bench();
      const spec = await bench().spec("vm");
      const before = await driver.launch(spec);
      const disk = { id: "c1-upper", path: await bench().diskImage(), readonly: false };
      const path = await bench().layerImage();
      await before.attachDisk(disk);
      const images: string[] = [];
      for (let index = 0; index <= SLOT_SERIALS.length; index++)
        images.push(await before.attachImage({ id: `image-${index}`, path }));
      const own = await disksOfItsOwn(bench());
      await bench().daemonDies();
      const { vm, disks, slots } = await driver.adopt(adoptionOf(before, spec));
      const pluggedIn = images.filter((serial) => !SLOT_SERIALS.some((each) => each === serial));
      expect([...disks].sort()).toEqual([...own, disk.id, ...pluggedIn].sort());
      expect([...slots].sort()).toEqual([...SLOT_SERIALS].sort());
      await expect(vm.attachDisk(disk)).rejects.toMatchObject({ code: "QmpFailed" });
      for (const serial of images) await vm.detachImage(serial);
      await vm.detachDisk(disk.id);
      await vm.attachDisk(disk);
      expect(SLOT_SERIALS).toContain(await vm.attachImage({ id: "image-0", path }));
      await vm.kill();
      expect(await bench().leftovers()).toEqual([]);
    });

    it("is whole whatever was under way, and takes the same disk after that", async () => {
      const { driver } = bench();
      const spec = await bench().spec("vm");
      let vm = await driver.launch(spec);
      const disk = { id: "c1", path: await bench().diskImage(), readonly: false };
      const image = { id: "image-1", path: await bench().layerImage() };
      for (const turns of [0, 1, 2, 4, 8]) {
        vm.attachDisk(disk).catch(() => undefined);
        vm.attachImage(image).catch(() => undefined);
        for (let turn = 0; turn < turns; turn++) await new Promise<void>((resolve) => setImmediate(resolve));
        await bench().daemonDies();
        const adopted = await driver.adopt(adoptionOf(vm, spec));
        vm = adopted.vm;
        await vm.detachDisk(disk.id);
        for (const serial of adopted.slots) await vm.detachImage(serial);
        await vm.attachDisk(disk);
        await vm.detachDisk(disk.id);
      }
      await vm.kill();
      expect(await bench().leftovers()).toEqual([]);
    });

    it("lets go of a disk that it was letting go of: its file is free for another one", async () => {
      const { driver } = bench();
      const spec = await bench().spec("vm");
      let vm = await driver.launch(spec);
      const path = await bench().diskImage();
      for (const [round, turns] of [0, 1, 2, 4].entries()) {
        const id = `c${round}`;
        await vm.attachDisk({ id, path, readonly: false });
        vm.detachDisk(id).catch(() => undefined);
        for (let turn = 0; turn < turns; turn++) await new Promise<void>((resolve) => setImmediate(resolve));
        await bench().daemonDies();
        const adopted = await driver.adopt(adoptionOf(vm, spec));
        vm = adopted.vm;
        for (const disk of adopted.disks) if (disk === id) await vm.detachDisk(disk);
        await vm.attachDisk({ id: "next", path, readonly: false });
        await vm.detachDisk("next");
      }
      await vm.kill();
      expect(await bench().leftovers()).toEqual([]);
    });

    it("stays paused if it was, and goes on when it is told to", async () => {
      const { driver } = bench();
      const spec = await bench().spec("vm");
      const before = await driver.launch(spec);
      await before.pause();
      await bench().daemonDies();
      const { vm, paused } = await driver.adopt(adoptionOf(before, spec));
      expect(paused).toBe(true);
      const events = record(vm);
      await vm.resume();
      await greet(vm);
      await vm.kill();
      await events.ended;
      expect(events.types()).toEqual(["vmm.resumed", "vmm.exited"]);
    });

    it("is not there if it has ended meanwhile, or is another one; then nothing is left", async () => {
      const spec = await bench().spec("vm");
      await expectGone(bench(), await bench().driver.launch(spec), spec);
    });

    it("is not there if its guest has ended meanwhile", async () => {
      const { driver } = bench();
      const spec = await bench().spec("vm");
      const vm = await driver.launch(spec);
      const { peer } = await greet(vm);
      peer.request("sandbox.shutdown", {}).result.catch(() => undefined);
      await new Promise((resolve) => setTimeout(resolve, 1));
      await bench().daemonDies();
      await goneSoon(driver, adoptionOf(vm, spec));
      expect(await bench().leftovers()).toEqual([]);
    });

    it("is left alone by who gives up", async () => {
      const { driver } = bench();
      const spec = await bench().spec("vm");
      const before = await driver.launch(spec);
      await bench().daemonDies();
      const given = driver.adopt(adoptionOf(before, spec), AbortSignal.abort());
      await expect(given).rejects.toMatchObject({ code: "Cancelled" });
      const { vm } = await driver.adopt(adoptionOf(before, spec));
      await greet(vm);
      await vm.kill();
      expect(await bench().leftovers()).toEqual([]);
    });
  });
}

/** A VM of any source: two daemons die, the third ends it. */
export async function expectAdoptions(bench: AdoptionBench, launched: Vm, spec: VmSpec): Promise<void> {
  const { session } = await greet(launched);
  let vm = launched;
  for (let round = 0; round < 2; round++) {
    await bench.daemonDies();
    const adopted: AdoptedVm = await bench.driver.adopt(adoptionOf(vm, spec));
    expect(adopted).toMatchObject({ paused: false, slots: [] });
    const { id, identity, nics, acceleration } = vm;
    vm = adopted.vm;
    expect({ id: vm.id, identity: vm.identity, nics: vm.nics, acceleration: vm.acceleration }).toEqual({
      ...{ id, identity, nics, acceleration },
    });
    const agent = await greet(vm);
    expect(agent.session).toBe(session);
    await expect(agent.peer.request("ping", {}).result).resolves.toEqual({});
  }
  const events = record(vm);
  expect((await vm.readLog("console")).written).toBeGreaterThanOrEqual(0);
  expect(typeof (await vm.diagnostics())).toBe("string");
  expect((await vm.vitals()).cpuMs).toBeGreaterThan(0);
  await vm.kill();
  await events.ended;
  expect(events.all).toEqual([{ type: "vmm.exited", code: -1, signal: SIGKILL }]);
  expect(await bench.leftovers()).toEqual([]);
}

export async function expectGone(bench: AdoptionBench, vm: Vm, spec: VmSpec): Promise<void> {
  const { driver } = bench;
  await bench.daemonDies();
  await bench.killFromOutside(vm);
  const adoption = adoptionOf(vm, spec);
  for (let attempt = 0; attempt < 2; attempt++)
    await expect(driver.adopt(adoption)).rejects.toMatchObject({ code: "VmmExited" });
  expect(await bench.leftovers()).toEqual([]);
}

/** A guest takes a moment to end. What it was asked for may have gone with the daemon that asked, so it is asked again. */
async function goneSoon(driver: VmmDriver, adoption: VmAdoption): Promise<void> {
  const { vm } = await driver.adopt(adoption).catch((error: unknown) => {
    expect(error).toMatchObject({ code: "VmmExited" });
    return { vm: undefined };
  });
  if (vm === undefined) return;
  greet(vm)
    .then(({ peer }) => peer.request("sandbox.shutdown", {}).result)
    .catch(() => undefined);
  await vm.exited;
  await vm.kill();
}

/** Ids of the disks that a VM has which nobody has attached. */
async function disksOfItsOwn({ clones, driver }: VmmBench): Promise<readonly string[]> {
  const id = clones === true ? driver.templates?.diskId : undefined;
  return id === undefined ? [] : [id];
}
