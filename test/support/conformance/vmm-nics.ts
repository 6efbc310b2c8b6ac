/** The part of the suites of VMM drivers about network interfaces: how many there are, whose, and what goes over them. */
import { describe, expect, it } from "vitest";
import type { Vm } from "../../../src/contracts/vm.ts";
import type { NicBench } from "./nic-bench.ts";
import type { VmmBench } from "./vmm-bench.ts";

/** The largest frame that a link of 1,500 bytes carries, and its header. */
const WHOLE_FRAME = 1514;

/** A VM has as many interfaces as asked for, no tap of another's, and what is sent arrives in large pieces. */
export function networking(bench: () => VmmBench): void {
  describe("network interfaces", () => {
    it("are as many as asked for, each with a tap that no other VM has", async () => {
      const { driver, nics, clones } = bench();
      if (nics === undefined) return;
      const counts = clones === true ? [1, 1] : [0, 1, 8];
      const vms: Vm[] = [];
      for (const count of counts)
        vms.push(await driver.launch({ ...(await bench().spec(`vm-${vms.length}`)), nics: count }));
      expect(vms.map((vm) => vm.nics.length)).toEqual(counts);
      const all = vms.flatMap((vm) => vm.nics);
      expect(new Set(all.map(({ tap }) => tap)).size).toBe(all.length);
      expect(await nics.parked(vms[1] as Vm, 0)).toBe(true);
      await Promise.all(vms.map((vm) => vm.kill()));
    });

    it("carry frames both ways, with the sums and the cutting left to whoever needs them", async () => {
      const { driver, nics } = bench();
      if (nics === undefined) return;
      const vm = await driver.launch(await bench().spec("vm"));
      await expectExchange(nics, vm);
      await vm.kill();
    });
  });
}

/**
 * Frames go both ways, and segments of TCP are not cut to the link's MTU on their way: their mean is above it. How far above
 * is decided by the sender's pace, which a busy machine slows: at its slowest a sender still hands on two frames as one.
 */
export async function expectExchange(nics: NicBench, vm: Vm, nic = 0): Promise<void> {
  const { toGuest, fromGuest } = await nics.exchange(vm, nic);
  expect(toGuest).toBeGreaterThan(WHOLE_FRAME);
  expect(fromGuest).toBeGreaterThan(WHOLE_FRAME);
}
