/** A VM that nobody can reach any more lets everything be undone, and does nothing. */
import { describe, expect, it } from "vitest";
import { goneVm } from "../../../../../src/actors/vm/adoption/gone-vm.ts";

const { signal } = new AbortController();

describe("a VM that is gone", () => {
  it.each([
    ["connects to no agent", () => goneVm("pod").connectAgent(signal)],
    ["gets no disk", () => goneVm("pod").attachDisk({ id: "c1", path: "/disks/c1", readonly: false })],
    ["is not paused", () => goneVm("pod").pause()],
    ["is not resumed", () => goneVm("pod").resume()],
  ])("%s, and says why", async (_, call) => {
    await expect(call()).rejects.toMatchObject({ code: "VmmExited", details: { subject: "pod" } });
  });

  it("lets go of what hangs on it, and has ended before it is killed", async () => {
    const vm = goneVm("pod");
    await Promise.all([vm.detachDisk("c1"), vm.kill(), vm.kill()]);
    expect(await vm.exited).toEqual({ code: -1, signal: 0 });
    expect(vm.identity.pid).toBe(0);
  });

  it("tells of nothing", async () => {
    const vm = goneVm("pod");
    const told: unknown[] = [];
    await new Promise<void>((resolve) => {
      vm.events.subscribe({ next: (event) => told.push(event), complete: resolve });
    });
    expect([told, await vm.diagnostics(), (await vm.readLog(0)).written]).toEqual([[], "", 0]);
  });
});
