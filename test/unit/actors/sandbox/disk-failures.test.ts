/** A host that cannot write a sandbox's disk: what the operator is told, and how often. */
import { describe, expect, it } from "vitest";
import { DiskFailures, failureRemedy, failureText } from "../../../../src/actors/sandbox/disk-failures.ts";
import type { DiskFailed } from "../../../../src/contracts/vm.ts";
import { MemoryHost } from "../../../support/memory-host/host.ts";
import { containerRequest, podSpec } from "../../../support/memory-host/pods.ts";

const FULL: DiskFailed = {
  type: "vmm.diskFailed",
  disk: "d1",
  operation: "write",
  noSpace: true,
  reason: "No space left on device",
};

describe("the failures of a sandbox's disks", () => {
  it("are told once for each disk and kind while they go on, and again after a minute without", () => {
    let now = 0;
    const failures = new DiskFailures(() => now);
    const note = (event: DiskFailed) => failures.note(event, "c1") !== undefined;
    expect([
      note(FULL),
      note(FULL),
      note({ ...FULL, operation: "read" }),
      note({ ...FULL, disk: "d2" }),
    ]).toEqual([true, false, true, true]);
    // five minutes without a pause
    for (; now < 300_000; now += 1000) expect(note(FULL)).toBe(false);
    const since = new Date(0).toISOString();
    expect(failures.list.at(-1)).toMatchObject({ disk: "d1", since, last: new Date(299_000).toISOString() });
    now += 60_000;
    expect(note(FULL)).toBe(true);
    expect(failures.list.at(-1)).toMatchObject({ since: new Date(now).toISOString() });
  });

  it("are forgotten, the oldest first, when there are too many", () => {
    const failures = new DiskFailures(() => 0);
    for (let disk = 0; disk < 100; disk++) failures.note({ ...FULL, disk: `d${disk}` }, undefined);
    expect(failures.list.map(({ disk }) => disk)).toEqual(Array.from({ length: 32 }, (_, i) => `d${i + 68}`));
  });

  it("say what, where, why and what to do", () => {
    const failure = { ...FULL, container: "c1", since: "", last: "" };
    expect(failureText(failure)).toBe(
      "the host could not write the disk of container c1 (No space left on device); the guest got an error and goes on",
    );
    expect(failureText({ ...failure, container: undefined })).toContain("write disk d1");
    expect(failureRemedy(failure)).toContain("make space");
    expect(failureRemedy({ ...failure, noSpace: false })).toContain("dmesg");
  });
});

describe("a pod whose disk the host cannot write", () => {
  it("goes on, and its log, timeline and status say so once", async () => {
    const memory = new MemoryHost();
    const { sandboxes, tasks } = memory.actors();
    await sandboxes.create(podSpec("pod"));
    await sandboxes.start("pod");
    await tasks.create(containerRequest("pod", "c1"));
    const vm = memory.driver.vm("pod");
    const [disk = ""] = vm.disks.keys();
    for (let times = 0; times < 3; times++) vm.failDisk({ ...FULL, disk });
    const { phase, info } = sandboxes.status("pod");
    expect(phase).toBe("ready");
    expect(JSON.parse(info["diskFailures"] ?? "")).toMatchObject([{ disk, container: "c1", noSpace: true }]);
    const notes = (JSON.parse(info["timeline"] ?? "") as { note?: string }[]).filter(
      ({ note }) => note !== undefined,
    );
    expect(notes).toEqual([{ state: "ready.running", ms: 0, note: expect.stringContaining("container c1") }]);
    const lines = memory.logger.lines.filter(({ message }) => message.includes("container c1 ("));
    expect(lines).toMatchObject([
      { level: "error", fields: { reason: FULL.reason, remedy: expect.any(String) } },
    ]);
    await tasks.start("c1", "");
    await sandboxes.shutdown("pod");
    expect(memory.remains()).toEqual([]);
  });
});
