/** Finding out whether KVM works: four ways in which it does not, each with what to do, and what comes of each. */
import { chmod, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { blazarError } from "../../../src/contracts/errors.ts";
import { KVM_WORKS, type KvmFinding } from "../../../src/contracts/kvm.ts";
import { type AccelerationChoice, AccelerationSearch } from "../../../src/vmm/common/kvm/acceleration.ts";
import { kvmDeviceProblem, mayOpen } from "../../../src/vmm/common/kvm/kvm-device.ts";
import { type KvmSearch, searchKvm } from "../../../src/vmm/common/kvm/kvm-search.ts";
import { cpuOf } from "../../../src/vmm/common/templates/fingerprints.ts";
import { CapturedLogger } from "../../support/captured-logger.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";

const MINUTE_MS = 60_000;
const VMM_USER = { uid: 610_000, gid: 610_000 };

async function fakeDevice(mode = 0o666): Promise<string> {
  const device = join(await temporaryDirectory(), "kvm");
  await writeFile(device, "");
  await chmod(device, mode);
  return device;
}

describe("the device", () => {
  it("may be missing: then virtualization is to be turned on", async () => {
    const found = await kvmDeviceProblem(VMM_USER, "/nowhere/kvm");
    expect(found).toMatchObject({ state: "absent", reason: "there is no /nowhere/kvm" });
    expect(found?.remedy).toMatch(/kvm_intel or kvm_amd.*firmware.*nested/);
  });

  it("may be a file without a kernel behind it", async () => {
    // a directory cannot be opened for writing, as a device without a driver cannot
    const found = await kvmDeviceProblem(VMM_USER, await temporaryDirectory());
    expect(found).toMatchObject({ state: "absent" });
    expect(found?.reason).toContain("no KVM behind it (EISDIR)");
  });

  it("may be closed to the users of VMMs: then owner, group, mode and a udev rule are told", async () => {
    const device = await fakeDevice(0o600);
    const found = await kvmDeviceProblem(VMM_USER, device);
    expect(found?.state).toBe("denied");
    expect(found?.reason).toMatch(/users of VMMs \(610000, for example\) may not open .*kvm, .* mode 0600/);
    expect(found?.reason).toMatch(/belongs to \S+:\S+ with/);
    expect(found?.remedy).toMatch(/udev rule: KERNEL=="kvm", GROUP="kvm", MODE="0660".*chgrp kvm/);
  });

  it("may be usable", async () => {
    expect(await kvmDeviceProblem(VMM_USER, await fakeDevice())).toBeUndefined();
    expect(await kvmDeviceProblem(undefined, await fakeDevice(0o600))).toBeUndefined();
  });

  it.each([
    ["root's alone", { uid: 0, gid: 0, mode: 0o600 }, false],
    ["its group's", { uid: 0, gid: 104, mode: 0o660 }, true],
    ["its group's to read only", { uid: 0, gid: 104, mode: 0o640 }, false],
    ["root's group's, which no VMM is in", { uid: 0, gid: 0, mode: 0o660 }, false],
    ["everybody's", { uid: 0, gid: 0, mode: 0o666 }, true],
    ["everybody's but its group's", { uid: 0, gid: 104, mode: 0o606 }, false],
    ["the user's own", { uid: 610_000, gid: 0, mode: 0o600 }, true],
  ])("that is %s", (_whose, owned, may) => {
    expect(mayOpen(owned, VMM_USER)).toBe(may);
  });
});

describe("the search", () => {
  async function search(failure?: () => Error) {
    const device = await fakeDevice();
    let boots = 0;
    const options: KvmSearch = {
      ...{ version: "1", images: [device], cacheDirectory: join(device, "..", "cache") },
      ...{ logger: new CapturedLogger(), user: VMM_USER, device },
      bootWithKvm: async () => {
        boots++;
        if (failure !== undefined) throw failure();
      },
    };
    return { options, boots: () => boots };
  }
  const died = () =>
    blazarError("GuestNotReady", "boot a guest", "it ended; its last words: KVM internal error");
  const late = () => blazarError("DeadlineExceeded", "boot a guest", "its agent said nothing in 30000 ms");

  it("finds that a guest boots, once", async () => {
    const { options, boots } = await search();
    expect([await searchKvm(options), await searchKvm(options)]).toEqual([KVM_WORKS, KVM_WORKS]);
    expect(boots()).toBe(1);
  });

  it("finds that a guest has died, with its last words, once", async () => {
    const { options, boots } = await search(died);
    const found = await searchKvm(options);
    expect(found).toMatchObject({ state: "broken" });
    expect(found.reason).toContain("KVM internal error");
    expect(found.remedy).toContain("dmesg");
    expect(await searchKvm(options)).toEqual(found);
    expect(boots()).toBe(1);
  });

  it("takes a guest that is late for no answer, and boots another one when it is asked again", async () => {
    const { options, boots } = await search(late);
    const found = await searchKvm(options);
    expect(found).toMatchObject({ state: "undecided" });
    expect(found.reason).toContain("said nothing in 30000 ms");
    expect(found.remedy).toContain("deadlines.kvmProbe");
    await searchKvm(options);
    expect(boots()).toBe(2);
  });

  it("knows a device that the VMM may not open for other reasons than its mode", async () => {
    const words = "Could not access KVM kernel module: Permission denied";
    const { options } = await search(() => new Error(words));
    expect(await searchKvm(options)).toMatchObject({ state: "denied" });
  });

  it("boots nothing where the device is not there", async () => {
    const { options, boots } = await search();
    expect(await searchKvm({ ...options, device: "/nowhere/kvm" })).toMatchObject({ state: "absent" });
    expect(boots()).toBe(0);
  });

  it("is made anew for another VMM or another image", async () => {
    const { options, boots } = await search();
    await searchKvm(options);
    await searchKvm({ ...options, version: "2" });
    await writeFile(options.images[0] ?? "", "other");
    await searchKvm(options);
    expect(boots()).toBe(3);
  });

  it("is made anew if the answer cannot be read", async () => {
    const { options, boots } = await search();
    await searchKvm(options);
    const [file] = await readdir(options.cacheDirectory);
    await writeFile(join(options.cacheDirectory, file ?? ""), "{");
    expect(await searchKvm(options)).toEqual(KVM_WORKS);
    expect(boots()).toBe(2);
  });
});

describe("acceleration", () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  const ABSENT: KvmFinding = { state: "absent", reason: "there is no /dev/kvm", remedy: "load kvm_amd" };
  const LATE: KvmFinding = { state: "undecided", reason: "a guest is too slow", remedy: "wait" };
  const BROKEN: KvmFinding = { state: "broken", reason: "a guest has died", remedy: "dmesg" };

  function chooser(choice: AccelerationChoice, ...findings: KvmFinding[]) {
    const logger = new CapturedLogger();
    const said = { searches: 0, works: 0 };
    const search = new AccelerationSearch({
      ...{ choice, logger },
      search: async () => {
        const found = findings[Math.min(said.searches++, findings.length - 1)];
        return found ?? KVM_WORKS;
      },
      onWorks: () => void said.works++,
    });
    const warnings = () => logger.lines.filter(({ level }) => level === "warn").map(({ fields }) => fields);
    return { search, said, warnings };
  }

  it("is KVM where it works, and is not looked for again", async () => {
    const { search, said, warnings } = chooser("auto", KVM_WORKS);
    expect(await search.choose()).toBe("kvm");
    await vi.advanceTimersByTimeAsync(60 * MINUTE_MS);
    expect([said, warnings()]).toEqual([{ searches: 1, works: 0 }, []]);
  });

  it("is emulation where a guest has died, for good, with one warning", async () => {
    const { search, said, warnings } = chooser("auto", BROKEN);
    expect(await search.choose()).toBe("tcg");
    await vi.advanceTimersByTimeAsync(60 * MINUTE_MS);
    expect(said.searches).toBe(1);
    expect(warnings()).toEqual([BROKEN]);
  });

  it("is emulation while a guest is too slow to tell, and KVM as soon as one is not", async () => {
    const { search, said, warnings } = chooser("auto", LATE, LATE, KVM_WORKS);
    expect(await search.choose()).toBe("tcg");
    expect(search.finding).toEqual(LATE);
    await vi.advanceTimersByTimeAsync(MINUTE_MS);
    expect([said.searches, said.works, search.finding]).toEqual([2, 0, LATE]);
    await vi.advanceTimersByTimeAsync(2 * MINUTE_MS);
    expect([said.searches, said.works, search.finding]).toEqual([3, 1, KVM_WORKS]);
    await vi.advanceTimersByTimeAsync(60 * MINUTE_MS);
    expect(said.searches).toBe(3);
    expect(warnings()).toEqual([{ ...LATE, againInSeconds: 60 }]);
  });

  it("is looked for at longer and longer intervals where there is none, and what changes is told", async () => {
    const denied: KvmFinding = { state: "denied", reason: "it belongs to root", remedy: "chgrp kvm" };
    const { search, said, warnings } = chooser("auto", ABSENT, denied);
    await search.choose();
    await vi.advanceTimersByTimeAsync(31 * MINUTE_MS);
    expect(said.searches).toBe(6);
    await vi.advanceTimersByTimeAsync(32 * MINUTE_MS);
    expect(said.searches).toBe(8);
    expect(warnings().map(({ state }) => state)).toEqual(["absent", "denied"]);
  });

  it("is an error with what to do if KVM is insisted on and does not work", async () => {
    const { search, said } = chooser("kvm", ABSENT);
    const chosen = search.choose();
    await expect(chosen).rejects.toMatchObject({ code: "VmmFailed" });
    await expect(chosen).rejects.toThrow(/no \/dev\/kvm.*load kvm_amd.*vmm.acceleration/);
    await vi.advanceTimersByTimeAsync(60 * MINUTE_MS);
    expect(said.searches).toBe(1);
  });

  it("is emulation, unsearched, if that is wanted", async () => {
    const { search, said } = chooser("tcg", KVM_WORKS);
    expect(await search.choose()).toBe("tcg");
    expect(search.finding?.state).toBe("unwanted");
    expect(said.searches).toBe(0);
  });
});

describe("the host's processor, which a template's guest has seen", () => {
  const cpuinfo = [
    "processor\t: 0",
    ...["vendor_id\t: AuthenticAMD", "cpu family\t: 23", "model\t\t: 49", "model name\t: AMD EPYC 7R32"],
    ...["stepping\t: 0", "microcode\t: 0x830107c", "cpu MHz\t\t: 2800.1", "flags\t\t: fpu svm", "", ""],
  ].join("\n");

  it("is another one with another model, other features or other microcode", () => {
    const changed = [
      ["0x830107c", "0x830107d"],
      ["fpu svm", "fpu"],
      ["7R32", "7R13"],
      [": 49", ": 50"],
    ].map(([from = "", to = ""]) => cpuOf(cpuinfo.replace(from, to)));
    expect(new Set([cpuOf(cpuinfo), ...changed]).size).toBe(5);
  });

  it("is the same one at another clock, and beside another core", () => {
    expect(cpuOf(cpuinfo.replace("2800.1", "1500"))).toBe(cpuOf(cpuinfo));
    expect(cpuOf(`${cpuinfo}processor\t: 1\nmicrocode\t: 0x0\n`)).toBe(cpuOf(cpuinfo));
  });
});
