/**
 * What every {@link VmmDriver} must do, as a vitest suite: the doc comments of src/contracts/vmm.ts, run.
 *
 * A driver brings a bench: itself, two of its kind that cannot start VMs, a place for VMs and a look at what is left of
 * them. What a guest sees of a disk or a share is for the integration tests of each driver.
 */
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { patient } from "../../../lab/host/patience.ts";
import type { ErrorCode } from "../../../src/contracts/errors.ts";
import { KVM_STATES } from "../../../src/contracts/kvm.ts";
import type { VmDisk } from "../../../src/contracts/vm.ts";
import { within } from "../../../src/lib/async.ts";
import { SIGKILL } from "../../../src/lib/signals.ts";
import { SLOT_SERIALS } from "../../../src/protocol/guest/messages.ts";
import { adopting } from "./vmm-adoptions.ts";
import { attaching } from "./vmm-attachments.ts";
import { greet, record, type VmmBench } from "./vmm-bench.ts";
import { networking } from "./vmm-nics.ts";

/** For what a VM tells by itself. */
const SOON = { timeout: patient(1000) };

/** Defines the suite. `makeBench` is called for each test. */
export function vmmConformance(name: string, makeBench: () => Promise<VmmBench>): void {
  describe(`VMM driver ${name}`, () => {
    let bench: VmmBench;
    beforeEach(async () => {
      bench = await makeBench();
    });
    afterEach(async () => {
      await bench.dispose();
    });

    launching(() => bench);
    connecting(() => bench);
    attaching(() => bench);
    networking(() => bench);
    running(() => bench);
    adopting(() => bench);
    ending(() => bench);
  });
}

function launching(bench: () => VmmBench): void {
  describe("launching", () => {
    it("tells its version and acceleration, the same each time", async () => {
      const first = await bench().driver.probe();
      expect(first.version).not.toBe("");
      expect(["kvm", "tcg"]).toContain(first.acceleration);
      expect(await bench().driver.probe()).toEqual(first);
      expect(bench().driver.facts).toEqual(first);
    });

    it("says whether KVM works, and if not why, and what to do", async () => {
      const { acceleration, kvm } = await bench().driver.probe();
      expect(KVM_STATES).toContain(kvm.state);
      expect(kvm.state === "works").toBe(acceleration === "kvm");
      const isSilent = kvm.state === "works" || kvm.state === "unwanted";
      expect([kvm.reason === "", kvm.remedy === ""]).toEqual([isSilent, isSilent]);
    });

    it("yields a VM with an identity, an acceleration and a timeline", async () => {
      const { driver } = bench();
      const vm = await driver.launch(await bench().spec("vm"));
      expect(vm.id).toBe("vm");
      expect(vm.identity.pid).toBeGreaterThan(0);
      expect(vm.identity.startTime).toBeGreaterThan(0);
      expect(vm.acceleration).toBe((await driver.probe()).acceleration);
      expect(vm.timeline.length).toBeGreaterThan(0);
      const times = vm.timeline.map(({ ms }) => ms);
      expect(times).toEqual([...times].sort((a, b) => a - b));
      await vm.kill();
    });

    it("runs several VMs at once, each with its own agent", async () => {
      const specs = await Promise.all(["a", "b", "c"].map((id) => bench().spec(id)));
      const vms = await Promise.all(specs.map((spec) => bench().driver.launch(spec)));
      expect(new Set(vms.map(({ identity }) => identity.pid)).size).toBe(3);
      const agents = await Promise.all(vms.map((vm) => greet(vm)));
      expect(new Set(agents.map(({ session }) => session)).size).toBe(bench().clones === true ? 1 : 3);
      await Promise.all(vms.map((vm) => vm.kill()));
      expect(await bench().leftovers()).toEqual([]);
    });

    it("fails when the VMM ends at once, and leaves nothing", async () => {
      const { failing } = bench();
      await expect(failing.launch(await bench().spec("vm"))).rejects.toMatchObject({ code: "VmmFailed" });
      expect(await bench().leftovers()).toEqual([]);
    });

    it("gives up on a VMM that never answers, and leaves nothing", async () => {
      const { hanging, hangEndsWith } = bench();
      if (hangEndsWith === undefined) return;
      await expect(hanging.launch(await bench().spec("vm"))).rejects.toMatchObject({ code: hangEndsWith });
      expect(await bench().leftovers()).toEqual([]);
    });

    it("is called off by a signal while the VMM does not answer, and leaves nothing", async () => {
      const abort = new AbortController();
      const launched = bench().hanging.launch(await bench().spec("vm"), abort.signal);
      setImmediate(() => abort.abort());
      await expect(launched).rejects.toMatchObject({ code: "Cancelled" });
      expect(await bench().leftovers()).toEqual([]);
    });

    it("is called off at every point of a start that would have worked, and leaves nothing", async () => {
      for (const turns of [0, 1, 3, 10]) {
        const abort = new AbortController();
        const launched = bench().driver.launch(await bench().spec(`vm-${turns}`), abort.signal);
        const outcome = launched.then(
          (vm) => vm.kill(),
          (error: unknown) => expect(error).toMatchObject({ code: "Cancelled" }),
        );
        for (let turn = 0; turn < turns; turn++) await new Promise<void>((resolve) => setImmediate(resolve));
        abort.abort();
        await outcome;
      }
      expect(await bench().leftovers()).toEqual([]);
    });

    it("does not start anything for a signal that has aborted before", async () => {
      const launched = bench().driver.launch(await bench().spec("vm"), AbortSignal.abort());
      await expect(launched).rejects.toMatchObject({ code: "Cancelled" });
      expect(await bench().leftovers()).toEqual([]);
    });

    it("refuses an id that a living VM has, and does not disturb that one", async () => {
      const vm = await bench().driver.launch(await bench().spec("vm"));
      const again = bench().driver.launch(await bench().spec("vm"));
      await expect(again).rejects.toMatchObject({ code: "ProcessExists" });
      await greet(vm);
      await vm.kill();
      expect(await bench().leftovers()).toEqual([]);
    });

    it("takes an id again once its VM is gone", async () => {
      for (let round = 0; round < 2; round++) {
        const vm = await bench().driver.launch(await bench().spec("vm"));
        await vm.kill();
      }
      expect(await bench().leftovers()).toEqual([]);
    });
  });
}

function connecting(bench: () => VmmBench): void {
  describe("the agent's link", () => {
    it("carries bytes both ways", async () => {
      const vm = await bench().driver.launch(await bench().spec("vm"));
      const { link, peer } = await greet(vm);
      await expect(peer.request("ping", {}).result).resolves.toEqual({});
      link.close();
      await vm.kill();
    });

    it("is one at a time, and can be had again after a close", async () => {
      const vm = await bench().driver.launch(await bench().spec("vm"));
      const first = await greet(vm);
      await expect(vm.connectAgent()).rejects.toMatchObject({ code: "IllegalTransition" });
      first.link.close();
      await first.closed;
      const second = await greet(vm);
      expect(second.session).toBe(first.session);
      await expect(second.peer.request("ping", {}).result).resolves.toEqual({});
      await vm.kill();
    });

    it("tells of its close once, whoever closes it", async () => {
      const vm = await bench().driver.launch(await bench().spec("vm"));
      const mine = await greet(vm);
      mine.link.close();
      mine.link.close();
      await mine.closed;
      const theirs = await greet(vm);
      await vm.kill();
      await theirs.closed;
      expect([mine.closes(), theirs.closes()]).toEqual([1, 1]);
      expect(theirs.link.write(new Uint8Array(1))).toBe(false);
    });

    it("tells nothing while it is paused, and then all of it", async () => {
      const vm = await bench().driver.launch(await bench().spec("vm"));
      const { link, peer } = await greet(vm);
      link.pause();
      const answers = [1, 2, 3].map(() => peer.request("ping", {}).result);
      const first = await within(Promise.race(answers), 300);
      expect(first).toBeUndefined();
      link.resume();
      expect(await Promise.all(answers)).toHaveLength(3);
      await vm.kill();
    });

    it("tells a consumer that comes after the close", async () => {
      const vm = await bench().driver.launch(await bench().spec("vm"));
      const link = await vm.connectAgent();
      await vm.kill();
      await new Promise<void>((resolve) => link.open({ onData: () => undefined, onClose: () => resolve() }));
    });

    it("is called off by a signal", async () => {
      const vm = await bench().driver.launch(await bench().spec("vm"));
      await expect(vm.connectAgent(AbortSignal.abort())).rejects.toMatchObject({ code: "Cancelled" });
      await greet(vm);
      await vm.kill();
    });
  });
}

function running(bench: () => VmmBench): void {
  describe("a running VM", () => {
    it("pauses and resumes, and tells each change once", async () => {
      const vm = await bench().driver.launch(await bench().spec("vm"));
      const events = record(vm);
      await vm.pause();
      await vm.pause();
      await vm.resume();
      await vm.resume();
      await vm.kill();
      await events.ended;
      expect(events.types()).toEqual(["vmm.paused", "vmm.resumed", "vmm.exited"]);
    });

    it("tells of a disk that the host has no space for, and goes on", async () => {
      const { driver, fillDisk } = bench();
      if (fillDisk === undefined) return;
      const vm = await driver.launch(await bench().spec("vm"));
      const events = record(vm);
      await fillDisk(vm);
      const failure = { type: "vmm.diskFailed", disk: "full", operation: "write", noSpace: true };
      await vi.waitFor(() => expect(events.all[0]).toMatchObject(failure), SOON);
      expect(new Set(events.types())).toEqual(new Set(["vmm.diskFailed"]));
      await vm.pause();
      await vm.resume();
      await vm.detachDisk("full");
      await vm.kill();
      expect(await bench().leftovers()).toEqual([]);
    });

    it("has something to say for error messages, also when it is gone", async () => {
      const vm = await bench().driver.launch(await bench().spec("vm"));
      expect(typeof (await vm.diagnostics())).toBe("string");
      await vm.kill();
      expect(typeof (await vm.diagnostics())).toBe("string");
    });

    it("ends when its guest powers off, after telling so", async () => {
      const vm = await bench().driver.launch(await bench().spec("vm"));
      const events = record(vm);
      const { peer } = await greet(vm);
      await peer.request("sandbox.shutdown", {}).result;
      await events.ended;
      expect(events.all[0]).toMatchObject({ type: "vmm.guestShutdown", reason: "guest-shutdown" });
      expect(events.all[1]).toEqual({ type: "vmm.exited", code: 0, signal: 0 });
      await vm.kill();
      expect(await bench().leftovers()).toEqual([]);
    });
  });
}

function ending(bench: () => VmmBench): void {
  describe("the end of a VM", () => {
    it("comes by kill, as often as asked, and leaves nothing", async () => {
      const vm = await bench().driver.launch(await bench().spec("vm"));
      await Promise.all([vm.kill(), vm.kill()]);
      await vm.kill();
      expect(await vm.exited).toEqual({ code: -1, signal: SIGKILL });
      expect(await bench().leftovers()).toEqual([]);
    });

    it("is told as the last event, to whoever listens and whoever comes late", async () => {
      const vm = await bench().driver.launch(await bench().spec("vm"));
      const early = record(vm);
      await vm.kill();
      await early.ended;
      const late = record(vm);
      await late.ended;
      for (const { all } of [early, late])
        expect(all).toEqual([{ type: "vmm.exited", code: -1, signal: SIGKILL }]);
    });

    it("is noticed when it comes from outside, and the rest is cleared up by kill", async () => {
      const vm = await bench().driver.launch(await bench().spec("vm"));
      const events = record(vm);
      const { closed } = await greet(vm);
      await bench().killFromOutside(vm);
      await events.ended;
      await closed;
      expect(events.all).toEqual([{ type: "vmm.exited", code: -1, signal: SIGKILL }]);
      await vm.kill();
      expect(await bench().leftovers()).toEqual([]);
    });

    it("fails what is asked of it afterwards with VmmExited", async () => {
      const vm = await bench().driver.launch(await bench().spec("vm"));
      await bench().killFromOutside(vm);
      await vm.exited;
      const disk: VmDisk = { id: "c1", path: "/nowhere", readonly: true };
      const calls = [
        vm.pause(),
        vm.resume(),
        vm.attachDisk(disk),
        vm.detachDisk("c1"),
        vm.attachPort({ name: "p", socket: "/nowhere" }),
        vm.detachPort("p"),
        vm.attachImage({ id: "c1", path: "/nowhere" }).then(() => undefined),
        vm.detachImage(SLOT_SERIALS[0]),
        vm.connectAgent().then(() => undefined),
      ];
      for (const call of calls) await expect(call).rejects.toMatchObject({ code: "VmmExited" });
      await vm.kill();
    });

    it("fails what is under way with VmmExited", async () => {
      const vm = await bench().driver.launch(await bench().spec("vm"));
      const image = await bench().diskImage();
      const attaching = vm.attachDisk({ id: "c1", path: image, readonly: false }).then(
        () => "attached",
        (error: unknown) => (error as { code: ErrorCode }).code,
      );
      await vm.kill();
      expect(["attached", "VmmExited"]).toContain(await attaching);
    });

    it("leaves the other VMs alone", async () => {
      const [a, b] = await Promise.all(
        ["a", "b"].map(async (id) => bench().driver.launch(await bench().spec(id))),
      );
      if (a === undefined || b === undefined) throw new Error("two VMs were launched");
      await bench().killFromOutside(a);
      await a.exited;
      await b.pause();
      await b.resume();
      await greet(b);
      await Promise.all([a.kill(), b.kill()]);
      expect(await bench().leftovers()).toEqual([]);
    });
  });
}
