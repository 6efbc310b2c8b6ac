/** What the driver finds out about its host: TSC, QEMU's binary; and what it shows of a hostile guest. */
import { mkdir, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { logTail, printable, showsPanic } from "../../../src/vmm/common/last-words.ts";
import { locateQemu, opensMemoryReadOnly, qemuVersion } from "../../../src/vmm/qemu/binary.ts";
import { readTscKhz, tscKhz } from "../../../src/vmm/qemu/tcg/tsc.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";

describe("the host's TSC", () => {
  const nothing = { kernelLog: "", baseFrequency: "", cpuinfo: "" };
  const cpuinfo = "model name\t: Intel(R) Xeon(R) CPU @ 2.20GHz\ncpu MHz\t\t: 3301.119\n";

  it("is what the kernel refined, else what it detected", () => {
    const detected = "6,1,0,-;tsc: Detected 2600.000 MHz processor";
    const refined = "6,9,0,-;tsc: Refined TSC clocksource calibration: 2599.998 MHz";
    expect(tscKhz({ ...nothing, kernelLog: `${detected}\n${refined}` })).toBe(2_599_998);
    expect(tscKhz({ ...nothing, kernelLog: detected, cpuinfo })).toBe(2_600_000);
  });

  it("is the nominal frequency where clocks are scaled, and not the momentary one", () => {
    expect(tscKhz({ ...nothing, baseFrequency: "2200000\n", cpuinfo })).toBe(2_200_000);
    expect(tscKhz({ ...nothing, cpuinfo })).toBe(2_200_000);
  });

  it("is not known where nothing credible tells it", () => {
    expect(tscKhz(nothing)).toBeUndefined();
    expect(tscKhz({ ...nothing, cpuinfo: "cpu MHz\t\t: 0.000\n" })).toBeUndefined();
    expect(tscKhz({ ...nothing, cpuinfo: "cpu MHz\t\t: 99999999\n" })).toBeUndefined();
  });

  it("can be read here", async () => {
    expect(await readTscKhz()).toBeGreaterThan(500_000);
  });
});

describe("the binary", () => {
  it("is looked up in PATH, and missed with a remedy", async () => {
    const directory = await temporaryDirectory();
    const program = join(directory, "qemu");
    await writeFile(program, "#!/bin/sh\necho QEMU emulator version 8.1.2\n", { mode: 0o755 });
    expect(await locateQemu("qemu", `/nowhere::relative:${directory}`)).toBe(program);
    expect(await qemuVersion(program)).toBe("8.1.2");
    const missing = locateQemu("qemu", "/nowhere");
    await expect(missing).rejects.toMatchObject({ code: "VmmNotInstalled" });
    await expect(missing).rejects.toThrow("install the package qemu-system-x86");
  });

  it("opens a template's memory read-only from 8.2 on", () => {
    const versions = ["7.2.22", "8.1.5", "8.2.0", "8.10.1", "9.0.0", "10.0.2"];
    expect(versions.map(opensMemoryReadOnly)).toEqual([false, false, true, true, true, true]);
  });

  it("must be a file that can be executed", async () => {
    const directory = await temporaryDirectory();
    await writeFile(join(directory, "text"), "", { mode: 0o644 });
    await mkdir(join(directory, "folder"));
    for (const name of ["text", "folder", "absent"]) {
      await expect(locateQemu(join(directory, name))).rejects.toMatchObject({ code: "VmmNotInstalled" });
    }
  });

  it.each([
    ["is too old", "echo QEMU emulator version 5.2.0", "at least 7.0"],
    ["is something else", "echo hello", "does not tell its version"],
    ["fails", "echo broken >&2; exit 3", "broken"],
  ])("is refused if it %s", async (_name, script, reason) => {
    const program = join(await temporaryDirectory(), "qemu");
    await writeFile(program, `#!/bin/sh\n${script}\n`, { mode: 0o755 });
    const version = qemuVersion(program);
    await expect(version).rejects.toMatchObject({ code: "VmmFailed" });
    await expect(version).rejects.toThrow(reason);
  });
});

describe("what a guest or a VMM leaves behind", () => {
  it("cannot steer a terminal", () => {
    expect(printable("a\u001b[31mred\u001b[0m\u0007\r\n\tb\u009b1m")).toBe("ared\n\tb1m");
  });

  it("shows a kernel panic", () => {
    expect(showsPanic("[ 1.0] Kernel panic - not syncing: VFS")).toBe(true);
    expect(showsPanic("all is well")).toBe(false);
  });

  it("is the end of a log, and never somebody else's file", async () => {
    const directory = await temporaryDirectory();
    const [log, link] = [join(directory, "log"), join(directory, "link")];
    await writeFile(log, `${"x".repeat(20_000)}\nlast words\n`);
    await symlink(log, link);
    expect(await logTail(log)).toMatch(/x\nlast words$/);
    expect((await logTail(log)).length).toBeLessThan(10_000);
    expect(await logTail(link)).toBe("");
    expect(await logTail(directory)).toBe("");
    expect(await logTail(join(directory, "absent"))).toBe("");
  });
});
