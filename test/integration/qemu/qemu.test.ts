/** QEMU beyond the port's promises: what its guest sees, how it is confined, how it fails, many at once. */
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { VmDisk } from "../../../src/contracts/vm.ts";
import { QemuBench } from "../../support/bench/qemu.ts";
import { RunningGuest } from "../../support/bench/running-guest.ts";
import { greet, record } from "../../support/conformance/vmm-bench.ts";
import { containerCreate, sandboxSetup } from "../../support/guest-requests.ts";
import { expectJailed } from "../../support/jail/expect-jailed.ts";

const root = process.getuid?.() === 0;

let bench: QemuBench;
beforeEach(async () => {
  bench = await QemuBench.start();
});
afterEach(async () => {
  await bench.dispose();
});

describe("four VMs that boot at once on few cores", () => {
  it("all reach their agent's hello", async () => {
    const specs = await Promise.all(["a", "b", "c", "d"].map((id) => bench.spec(id)));
    const vms = await Promise.all(specs.map((spec) => bench.driver.launch(spec)));
    const greeted = await Promise.all(vms.map((vm) => greet(vm)));
    expect(new Set(greeted.map(({ session }) => session)).size).toBe(4);
    await Promise.all(vms.map((vm) => vm.kill()));
    expect(await bench.leftovers()).toEqual([]);
  });
});

describe("the guest", () => {
  it("sees its share, and may not write to it", async () => {
    const spec = await bench.spec("vm");
    const vm = await bench.driver.launch(spec);
    const guest = await RunningGuest.of(vm);
    await guest.ask("sandbox.setup", sandboxSetup());
    const { share } = await bench.serve(vm, spec);
    await mkdir(join(share, "c", "volume"), { recursive: true });
    await writeFile(join(share, "c", "volume", "note"), "for the guest\n", { mode: 0o600 });
    await guest.ask("share.mount", { share: "layers" });
    const script = "grep -q 'for the guest' /s/note && ! touch /s/mine 2>/dev/null";
    const mount = { type: "bind", source: "c/volume", destination: "/s", options: ["rbind"] };
    const create = containerCreate("c", []);
    expect(await guest.run("c", ["sh", "-c", script], { mounts: [...create.mounts, mount] })).toBe(0);
    await vm.kill();
  });

  it("writes to a disk that was plugged in while it ran, and finds it again the next time", async () => {
    const vm = await bench.driver.launch(await bench.spec("vm"));
    const guest = await RunningGuest.of(vm);
    await guest.ask("sandbox.setup", sandboxSetup());
    const disk: VmDisk = { id: "c1-upper", path: await bench.emptyLayer(), readonly: false };
    const rootfs = {
      kind: "builtin",
      path: "",
      imageSerials: [] as string[],
      diskSerial: disk.id,
      filesystem: "ext4",
      readonly: false,
    } as const;
    for (const script of ["test ! -e /note && echo kept > /note", "grep -q kept /note"]) {
      await vm.attachDisk(disk);
      expect(await guest.run("c", ["sh", "-c", script], { rootfs })).toBe(0);
      await vm.detachDisk(disk.id);
    }
    await vm.kill();
  });

  it("that panics is told apart from one that powers off, and its console says why", async () => {
    const initramfs = join(bench.directory, "empty-initramfs");
    await writeFile(initramfs, "");
    const vm = await bench.driverWith({ initramfs }).launch(await bench.spec("vm"));
    const events = record(vm);
    await events.ended;
    expect(events.types()).toEqual(["vmm.guestPanicked", "vmm.exited"]);
    expect(await vm.diagnostics()).toContain("Kernel panic - not syncing");
    await vm.kill();
    expect(await bench.leftovers()).toEqual([]);
  });
});

describe("the process", () => {
  it.runIf(root)("has a user of its own and is in a jail in which nothing is left", async () => {
    const spec = await bench.spec("vm");
    const vm = await bench.driver.launch(spec);
    const status = await readFile(`/proc/${vm.identity.pid}/status`, "utf8");
    const field = (name: string): string | undefined =>
      new RegExp(`^${name}:\\s*(\\S+)`, "m").exec(status)?.[1];
    expect(field("Uid")).toBe(String(spec.user?.uid));
    expect(field("Gid")).toBe(String(spec.user?.gid));
    await expectJailed(vm);
    await vm.kill();
  });

  it("ends in good order when it is asked to from outside", async () => {
    const vm = await bench.driver.launch(await bench.spec("vm"));
    process.kill(vm.identity.pid, "SIGTERM");
    expect(await vm.exited).toEqual({ code: 0, signal: 0 });
    await vm.kill();
    expect(await bench.leftovers()).toEqual([]);
  });

  it("is killed even while it is stopped, and what was asked of it fails", async () => {
    const vm = await bench.driver.launch(await bench.spec("vm"));
    process.kill(vm.identity.pid, "SIGSTOP");
    const paused = vm.pause().then(
      () => "paused",
      (error: unknown) => (error as { code: string }).code,
    );
    await vm.kill();
    expect(await paused).toBe("VmmExited");
    expect(await bench.leftovers()).toEqual([]);
  });
});

describe("a launch", () => {
  it("without QEMU says what to install", async () => {
    const driver = bench.driverWith({ binary: "qemu-system-nonesuch" });
    await expect(driver.probe()).rejects.toMatchObject({ code: "VmmNotInstalled" });
    await expect(driver.launch(await bench.spec("vm"))).rejects.toThrow(
      "install the package qemu-system-x86",
    );
  });

  it("without a kernel says what to run", async () => {
    const driver = bench.driverWith({ kernel: "/nowhere/vmlinux" });
    await expect(driver.launch(await bench.spec("vm"))).rejects.toMatchObject({ code: "DependencyMissing" });
  });

  it("of a QEMU that dies shows its last words", async () => {
    await expect(bench.failing.launch(await bench.spec("vm"))).rejects.toThrow(
      /QEMU ended with status 1: .*kernel/s,
    );
  });

  it("in a directory whose path is too long for sockets is refused before anything is made", async () => {
    const spec = await bench.spec("vm");
    const directory = join(bench.directory, "x".repeat(100));
    await expect(bench.driver.launch({ ...spec, directory })).rejects.toMatchObject({
      code: "InvalidArgument",
    });
    expect(await bench.leftovers()).toEqual([]);
  });

  it("of an image that its user may not open names it", async () => {
    const vm = await bench.driver.launch(await bench.spec("vm"));
    await expect(vm.attachDisk({ id: "c1", path: "/nowhere/disk", readonly: true })).rejects.toThrow(
      "/nowhere/disk",
    );
    await vm.attachDisk({ id: "c1", path: await bench.diskImage(), readonly: true });
    await vm.kill();
  });
});
