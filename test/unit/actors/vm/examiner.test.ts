/** When a guest that has not said hello counts as dead. */
import { describe, expect, it } from "vitest";
import { Examiner } from "../../../../src/actors/vm/boot/examiner.ts";
import type { VmSource, VmVitals } from "../../../../src/contracts/vm.ts";

const PERIOD = 6000;

/** Looks at a VM once a period; answers the reasons for giving it up. */
async function looks(
  source: VmSource["kind"],
  vitals: readonly VmVitals[],
  pid = 1,
  examiner = new Examiner(),
) {
  const reasons: (string | undefined)[] = [];
  for (const each of vitals) {
    const vm = { identity: { pid, startTime: 1 }, vitals: async () => each };
    reasons.push((await examiner.examine(vm, source, PERIOD))?.reason);
  }
  return reasons;
}

describe("a guest that has not said hello", () => {
  it("is alive if it has written to its console, for as long as its VMM does something", async () => {
    const spoke = true;
    expect(
      await looks("boot", [
        { cpuMs: 5000, spoke },
        { cpuMs: 11_000, spoke },
      ]),
    ).toEqual([undefined, undefined]);
  });

  it("is alive if the host is busy: its VMM has had little CPU time, but some", async () => {
    const spoke = false;
    expect(
      await looks("boot", [
        { cpuMs: 200, spoke },
        { cpuMs: 400, spoke },
        { cpuMs: 2900, spoke },
      ]),
    ).toEqual([undefined, undefined, undefined]);
  });

  it("is dead if its VMM has used much CPU time, and nothing was said", async () => {
    const vitals = { cpuMs: 5900, spoke: false };
    expect(await looks("boot", [vitals])).toEqual([
      expect.stringContaining("5900 ms of CPU, and the guest has said"),
    ]);
  });

  it("is dead if its VMM uses no CPU time, whatever was said before", async () => {
    const spoke = true;
    const [first, second] = await looks("boot", [
      { cpuMs: 2000, spoke },
      { cpuMs: 2010, spoke },
    ]);
    expect([first, second]).toEqual([undefined, expect.stringContaining("10 ms of CPU in 6000 ms")]);
  });

  it("has no console to write to if it is a copy", async () => {
    expect(await looks("clone", [{ cpuMs: 5900, spoke: true }])).toEqual([
      expect.stringContaining("no sign of life"),
    ]);
  });

  it("begins anew with another VM", async () => {
    const examiner = new Examiner();
    await looks("clone", [{ cpuMs: 2000, spoke: false }], 1, examiner);
    expect(await looks("boot", [{ cpuMs: 2000, spoke: false }], 2, examiner)).toEqual([undefined]);
  });
});
