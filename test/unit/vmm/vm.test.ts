/** A VM whose QEMU is a script: events, disks and ends that the real one shows too rarely. */
import { existsSync } from "node:fs";
import { truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type BlazarError, blazarError } from "../../../src/contracts/errors.ts";
import { SLOT_BYTES } from "../../../src/contracts/images.ts";
import type { Vm, VmSpec } from "../../../src/contracts/vm.ts";
import { SIGKILL } from "../../../src/lib/signals.ts";
import { RunningProcess, type VmmParent } from "../../../src/vmm/common/running-process.ts";
import { diskNames } from "../../../src/vmm/qemu/disks/disk-names.ts";
import { type Launcher, launchVm } from "../../../src/vmm/qemu/launch.ts";
import type { MemorySource } from "../../../src/vmm/qemu/process.ts";
import { emulation } from "../../../src/vmm/qemu/tcg/emulation.ts";
import { CapturedLogger } from "../../support/captured-logger.ts";
import { record } from "../../support/conformance/vmm-bench.ts";
import { FakeKeeperHost } from "../../support/fake-keeper/keeper.ts";
import { FakeQmp, type ReceivedCommand } from "../../support/fake-vmm/qmp.ts";
import { inlineFileSender } from "../../support/inline-file-sender.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";

let qmp: FakeQmp;
let keeper: FakeKeeperHost;
let logger: CapturedLogger;
let spec: VmSpec;
beforeEach(async () => {
  const directory = await temporaryDirectory();
  qmp = new FakeQmp(directory);
  keeper = new FakeKeeperHost();
  logger = new CapturedLogger();
  spec = {
    id: "vm",
    directory,
    vcpus: 1,
    memoryBytes: 256 * 1024 * 1024,
    nics: 1,
    user: undefined,
    cgroups: [],
    source: { kind: "boot" },
  };
});
afterEach(async () => {
  await qmp[Symbol.asyncDispose]();
});

async function launch(parent: VmmParent = keeper.connect(), source?: MemorySource): Promise<Vm> {
  await qmp.listen();
  const launcher: Launcher = {
    keeper: parent,
    vmm: "QEMU",
    binary: "/usr/bin/qemu",
    filterLibrary: undefined,
    version: "9.0.0",
    accelerator: emulation(undefined, 2 ** 27),
    kernel: "/k",
    initramfs: "/i",
    calls: { kvm: "", tcg: "", original: "" },
    facts: {
      maxOpenFiles: undefined,
      kvmGroup: undefined,
      vhostNet: false,
      programPaths: ["/usr", "/dev/urandom"],
    },
    launchMs: 5000,
    deadlines: { commandMs: 1000, detachMs: 50, exitMs: 1000 },
    sendFile: inlineFileSender,
    logger,
  };
  return launchVm(launcher, spec, undefined, source);
}

/** Commands without the negotiation. */
function commands(): string[] {
  return qmp.commands.map(({ execute }) => execute).filter((name) => name !== "qmp_capabilities");
}

describe("a clone", () => {
  it("is kept from announcing itself to a network that it has not moved to", async () => {
    qmp.answer = ({ execute, id }) => ({
      return: execute === "query-status" ? { status: "running" } : {},
      id,
    });
    await launch(undefined, { kind: "cloned", memory: "/m", protection: "readonly", state: "/s" });
    const at = (name: string) => qmp.commands.findIndex(({ execute }) => execute === name);
    expect(qmp.commands[at("migrate-set-parameters")]?.arguments).toEqual({ "announce-rounds": 0 });
    expect(at("migrate-set-parameters")).toBeLessThan(at("migrate-incoming"));
  });
});

describe("a guest that ends", () => {
  function console(text: string): void {
    qmp.answer = ({ execute, id }) => {
      if (execute === "quit") queueMicrotask(() => keeper.exit("vm", { code: 0 }));
      return { return: execute === "ringbuf-read" ? text : {}, id };
    };
  }

  it("by itself is told with QEMU's reason, and QEMU is told to quit", async () => {
    const vm = await launch();
    console("bye\n");
    const events = record(vm);
    qmp.say({ event: "SHUTDOWN", data: { guest: true, reason: "guest-shutdown" } }, { event: "STOP" });
    await events.ended;
    expect(events.all).toEqual([
      { type: "vmm.guestShutdown", reason: "guest-shutdown" },
      { type: "vmm.exited", code: 0, signal: 0 },
    ]);
    expect(commands()).toEqual(["ringbuf-read", "quit"]);
    expect(await vm.diagnostics()).toContain("bye");
  });

  it("by a panic is told so, and its last words outlive it", async () => {
    const vm = await launch();
    console("\u001b[31mKernel panic - not syncing: oops\n");
    const events = record(vm);
    qmp.say({ event: "SHUTDOWN", data: { guest: true, reason: "guest-reset" } });
    await events.ended;
    expect(events.types()).toEqual(["vmm.guestPanicked", "vmm.exited"]);
    expect(await vm.diagnostics()).toBe("the guest's console:\nKernel panic - not syncing: oops");
  });

  it("under a QEMU that does not quit takes that one with it", async () => {
    const vm = await launch();
    const events = record(vm);
    qmp.say({ event: "SHUTDOWN", data: { guest: true, reason: "guest-shutdown" } });
    await events.ended;
    expect(events.all.at(-1)).toEqual({ type: "vmm.exited", code: -1, signal: SIGKILL });
    expect(logger.lines.some(({ level }) => level === "error")).toBe(true);
  });
});

describe("a QEMU", () => {
  it("whose control connection hangs up, or breaks the protocol, is killed", async () => {
    const vm = await launch();
    const command = vm.pause().catch((error: unknown) => (error as BlazarError).code);
    qmp.raw("noise\n");
    expect(await vm.exited).toEqual({ code: -1, signal: SIGKILL });
    expect(["QmpFailed", "VmmExited", undefined]).toContain(await command);
    await expect(vm.resume()).rejects.toMatchObject({ code: "VmmExited" });
  });

  it("that dies while a command is under way fails it with VmmExited", async () => {
    const vm = await launch();
    qmp.answer = () => undefined;
    const command = vm.pause();
    keeper.exit("vm", { signal: SIGKILL });
    qmp.connection?.destroy();
    await expect(command).rejects.toMatchObject({ code: "VmmExited" });
  });

  it("tells each pause and each resume once, and not the resume of its own start", async () => {
    const vm = await launch();
    const events = record(vm);
    const stop = { event: "STOP" };
    const go = { event: "RESUME" };
    qmp.say(go, stop, stop, go, go, stop);
    await vm.pause();
    expect(events.types()).toEqual(["vmm.paused", "vmm.resumed", "vmm.paused"]);
    await vm.kill();
  });

  it("tells which disk the host could not write, once for a burst of the same kind", async () => {
    const vm = await launch();
    await vm.attachDisk({ id: "c1", path: "/dev/null", readonly: false });
    const { node } = diskNames("c1");
    const events = record(vm);
    const failed = (data: Record<string, unknown>) => ({
      event: "BLOCK_IO_ERROR",
      data: { device: "", "node-name": node, operation: "write", action: "report", ...data },
    });
    const full = failed({ reason: "No space left on device" });
    const torn = failed({ reason: "Input/output error", operation: "read" });
    qmp.say(
      full,
      full,
      full,
      torn,
      full,
      torn,
      failed({ "node-name": "slot3", reason: "Input/output error" }),
    );
    qmp.say(failed({ operation: "dance" }));
    qmp.answer = ({ execute, id }) => {
      if (execute === "device_del") qmp.say({ event: "DEVICE_DELETED", data: { device: "disk-c1" } });
      return { return: {}, id };
    };
    await vm.detachDisk("c1");
    await vm.attachDisk({ id: "c1", path: "/dev/zero", readonly: false });
    qmp.say(full);
    await vm.pause();
    const event = { type: "vmm.diskFailed", disk: "c1" };
    expect(events.all).toEqual([
      { ...event, operation: "write", noSpace: true, reason: "No space left on device" },
      { ...event, operation: "read", noSpace: false, reason: "Input/output error" },
      { ...event, disk: "slot3", operation: "write", noSpace: false, reason: "Input/output error" },
      { ...event, operation: "write", noSpace: true, reason: "No space left on device" },
    ]);
    await vm.kill();
  });

  it("that the keeper has lost is noticed and ended all the same", async () => {
    const lost = (): Promise<never> =>
      Promise.reject(blazarError("KeeperLost", "ask the keeper", "it is gone"));
    const parent = { spawn: lost, fork: lost, seal: lost, signal: lost, exited: lost, forget: lost };
    const process = new RunningProcess(parent, "vm", { pid: 0x7fff_ffff, startTime: 1 });
    await process.kill(1000);
    expect(process.exit).toEqual({ code: -1, signal: 0 });
  });

  it("leaves no socket and no memory of it at the keeper", async () => {
    const vm = await launch();
    await vm.kill();
    expect(existsSync(join(spec.directory, "qmp.sock"))).toBe(false);
    expect(keeper.processes.size).toBe(0);
  });
});

describe("a disk", () => {
  const disk = { id: "c1", path: "/dev/null", readonly: true };
  const refusal = (id: number, name: string, desc: string): object => ({ error: { class: name, desc }, id });

  it("is an image and a device with the id as its serial number", async () => {
    const vm = await launch();
    await vm.attachDisk(disk);
    const [open, add, device, close] = qmp.commands.slice(-4) as [
      ReceivedCommand,
      ReceivedCommand,
      ReceivedCommand,
      ReceivedCommand,
    ];
    const set = open.arguments?.["fdset-id"];
    expect(open.execute).toBe("add-fd");
    expect(add.arguments?.["file"]).toMatchObject({ filename: `/dev/fdset/${set}` });
    expect(close).toMatchObject({ execute: "remove-fd", arguments: { "fdset-id": set } });
    expect(add).toMatchObject({ execute: "blockdev-add", arguments: { "read-only": true } });
    expect(String(add.arguments?.["node-name"]).length).toBeLessThanOrEqual(31);
    expect(device).toMatchObject({
      execute: "device_add",
      arguments: { driver: "scsi-hd", serial: "c1", drive: add.arguments?.["node-name"] },
    });
    await vm.kill();
  });

  it("that cannot be plugged in gives its image back", async () => {
    const vm = await launch();
    qmp.answer = ({ execute, id }) =>
      execute === "device_add" ? refusal(id, "GenericError", "bus full") : { return: {}, id };
    await expect(vm.attachDisk(disk)).rejects.toThrow("bus full");
    expect(commands()).toEqual(["add-fd", "blockdev-add", "device_add", "remove-fd", "blockdev-del"]);
    await vm.kill();
  });

  it("is let go of only when the device is gone", async () => {
    const vm = await launch();
    qmp.answer = ({ execute, id }) => {
      if (execute === "device_del") {
        qmp.say({ event: "DEVICE_DELETED", data: { device: "disk-other", path: "/x" } });
        qmp.say({ return: {}, id }, { event: "DEVICE_DELETED", data: { device: "disk-c1", path: "/y" } });
        return undefined;
      }
      return { return: {}, id };
    };
    await vm.detachDisk("c1");
    expect(commands()).toEqual(["device_del", "blockdev-del"]);
    await vm.kill();
  });

  it("that the guest does not let go of ends in a deadline, and keeps its image", async () => {
    const vm = await launch();
    await expect(vm.detachDisk("c1")).rejects.toMatchObject({ code: "DeadlineExceeded" });
    expect(commands()).toEqual(["device_del"]);
    await vm.kill();
  });

  it("whose unplugging was given up can be asked to go again", async () => {
    const vm = await launch();
    qmp.answer = ({ execute, id }) => {
      if (execute !== "device_del") return { return: {}, id };
      setImmediate(() => qmp.say({ event: "DEVICE_DELETED", data: { device: "disk-c1" } }));
      return refusal(id, "GenericError", "Device disk-c1 is already in the process of unplug");
    };
    await vm.detachDisk("c1");
    expect(commands()).toEqual(["device_del", "blockdev-del"]);
    await vm.kill();
  });

  it("that is half gone goes the rest of the way, and one that is gone is no error", async () => {
    const vm = await launch();
    qmp.answer = ({ execute, id }) =>
      execute === "device_del"
        ? refusal(id, "DeviceNotFound", "Device 'disk-c1' not found")
        : refusal(id, "GenericError", "Failed to find node with node-name='n1'");
    await vm.detachDisk("c1");
    expect(commands()).toEqual(["device_del", "blockdev-del"]);
    await vm.kill();
  });
});

describe("an image", () => {
  const refusal = (id: number, desc: string): object => ({ error: { class: "GenericError", desc }, id });

  /** A file of a slot's size, or another one. */
  async function image(bytes: number = SLOT_BYTES): Promise<string> {
    const path = join(spec.directory, `image-${bytes}`);
    await writeFile(path, "");
    await truncate(path, bytes);
    return path;
  }

  it("is put into a slot without a word to the guest, and taken out again", async () => {
    const vm = await launch();
    expect(await vm.attachImage({ id: "i1", path: await image() })).toBe("slot0");
    expect(commands()).toEqual(["add-fd", "blockdev-add", "blockdev-reopen", "remove-fd"]);
    const [, add, reopen] = qmp.commands.slice(-4);
    const node = add?.arguments?.["node-name"];
    const slot = { driver: "raw", "node-name": "slot0", "read-only": true };
    expect(reopen?.arguments).toEqual({ options: [{ ...slot, file: node }] });
    await vm.detachImage("slot0");
    const [empty, gone] = qmp.commands.slice(-2);
    expect(empty).toMatchObject({ arguments: { options: [{ ...slot, file: "slot-empty" }] } });
    expect(gone).toMatchObject({ execute: "blockdev-del", arguments: { "node-name": node } });
    await vm.detachImage("slot0");
    expect(qmp.commands.at(-1)).toBe(gone);
    await vm.kill();
  });

  it("is plugged in if it has another size than a slot, or no slot is free", async () => {
    const vm = await launch();
    expect(await vm.attachImage({ id: "small", path: await image(4096) })).toBe("small");
    expect(commands()).toEqual(["add-fd", "blockdev-add", "device_add", "remove-fd"]);
    const path = await image();
    const serials = [];
    for (const id of ["a", "b", "c"]) serials.push(await vm.attachImage({ id, path }));
    expect(serials).toEqual(["slot0", "slot1", "c"]);
    await vm.kill();
  });

  it("that cannot be put into a slot leaves the slot free", async () => {
    const vm = await launch();
    const path = await image();
    qmp.answer = ({ execute, id, arguments: args }) => {
      if (execute === "blockdev-add") return refusal(id, "cannot be read");
      const fills = execute === "blockdev-reopen" && !JSON.stringify(args).includes("slot-empty");
      if (fills || execute === "blockdev-del") return refusal(id, "Failed to find node with node-name='x'");
      return { return: {}, id };
    };
    await expect(vm.attachImage({ id: "i1", path })).rejects.toThrow("cannot be read");
    qmp.answer = ({ id }) => ({ return: {}, id });
    expect(await vm.attachImage({ id: "i2", path })).toBe("slot0");
    await vm.kill();
  });

  it("that a slot does not give back keeps the slot", async () => {
    const vm = await launch();
    const path = await image();
    await vm.attachImage({ id: "i1", path });
    qmp.answer = ({ id }) => refusal(id, "no");
    await expect(vm.detachImage("slot0")).rejects.toMatchObject({ code: "QmpFailed" });
    qmp.answer = ({ id }) => ({ return: {}, id });
    expect(await vm.attachImage({ id: "i2", path })).toBe("slot1");
    await vm.detachImage("slot0");
    expect(await vm.attachImage({ id: "i3", path })).toBe("slot0");
    await vm.kill();
  });

  it("that is not there is refused before QEMU hears of it", async () => {
    const vm = await launch();
    const heard = qmp.commands.length;
    const attached = vm.attachImage({ id: "i1", path: "/nowhere/image" });
    await expect(attached).rejects.toMatchObject({ code: "StorageFailed" });
    expect(qmp.commands.length).toBe(heard);
    await vm.kill();
  });
});
