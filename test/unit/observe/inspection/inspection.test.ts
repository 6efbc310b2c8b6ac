import { afterEach, describe, expect, it, vi } from "vitest";
import { blazarError } from "../../../../src/contracts/errors.ts";
import type { InspectionEvent, LogName } from "../../../../src/contracts/inspection.ts";
import { containerRequest } from "../../../support/memory-host/pods.ts";
import { world } from "./world.ts";

afterEach(() => {
  vi.useRealTimers();
});

describe("the daemon's inspection", () => {
  it("counts starts by where their VMs came from, and how long each state took", async () => {
    const { inspection, create, start, run } = world();
    await create();
    await start();
    await run();
    const { starts, startsLastMinute, steps, phases } = inspection.node();
    expect(starts).toEqual({ boot: 1 });
    expect(startsLastMinute).toBe(1);
    expect(phases).toEqual({ ready: 1 });
    const names = steps.map(({ step }) => step);
    expect(names).toEqual(expect.arrayContaining(["start", "creating", "booting", "booting.settingUp"]));
    expect(names).toEqual(expect.arrayContaining(["container.creating", "process.starting"]));
    expect(names).not.toContain("created");
    expect(names.filter((name) => name.startsWith("booting.awaitingAgent"))).toEqual([
      "booting.awaitingAgent",
    ]);
  });

  it("says with a pod what is wrong with the daemon's own parts", async () => {
    const { inspection, create, start, parts } = world();
    await create();
    await start();
    parts.troubles = ["the keeper (pid 7) does not answer"];
    expect((await inspection.get("pod")).why).toContain("The keeper (pid 7) does not answer.");
    expect(inspection.node().troubles).toEqual(parts.troubles);
  });

  it("says which deadlines run, whose they are, and when they end", async () => {
    const { memory, tasks, inspection, create, start, call } = world({
      guest: () => ({ faults: { hangs: new Set(["container.create"]) } }),
    });
    await create();
    await start();
    const request = containerRequest("pod", "c1");
    call("Task.Create", () => tasks.create(request), { chart: "container/c1" }).catch(() => undefined);
    await vi.waitFor(() =>
      expect(memory.driver.vm("pod").guest.requests.map(({ op }) => op)).toContain("container.create"),
    );
    const { deadlines, charts, why } = await inspection.get("pod");
    expect(deadlines).toEqual([
      expect.objectContaining({ name: "containerCreate", chart: "container/c1", state: "creating" }),
    ]);
    expect((deadlines[0]?.endsAt ?? 0) - (deadlines[0]?.since ?? 0)).toBe(90_000);
    expect(charts.map(({ key }) => key)).toEqual(["sandbox", "boot", "container/c1"]);
    expect(why).toContain("(now guest container.create); the answer of the guest agent is missing");
    memory.driver.vm("pod").die(0, 9);
  });

  it("has no value of an environment variable, wherever it looks", async () => {
    const { tasks, inspection, create, start, call } = world();
    await create({ annotations: { token: "SECRET-1" }, labels: { key: "SECRET-2" } });
    await start();
    const request = containerRequest("pod", "c1");
    const process = { ...request.spec.process, env: ["PASSWORD=SECRET-3"], args: ["sh", "-c", "SECRET-4"] };
    await call("Task.Create", () => tasks.create({ ...request, spec: { ...request.spec, process } }));
    const all = [inspection.list(), await inspection.get("pod"), inspection.node()];
    expect(JSON.stringify(all)).not.toContain("SECRET");
  });

  it("tells a sandbox that is stuck once, with why, counts it, and takes it back", async () => {
    vi.useFakeTimers({ shouldAdvanceTime: true });
    const { memory, inspection, create, start, stop, history } = world({
      guest: () => ({ faults: { hangs: new Set(["sandbox.setup"]) } }),
    });
    await create();
    const events: InspectionEvent[] = [];
    inspection.watch({ entries: false }).subscribe({
      next: (event) => events.push(event),
      error: () => undefined,
      complete: () => undefined,
    });
    const started = start();
    started.catch(() => undefined);
    await vi.waitFor(() => expect(memory.driver.vm("pod").guest.requests.length).toBeGreaterThan(0));
    await vi.advanceTimersByTimeAsync(29_000);
    expect(inspection.stuckCounts).toEqual({ now: 0, total: 0 });
    await vi.advanceTimersByTimeAsync(5_000);
    expect(inspection.stuckCounts).toEqual({ now: 1, total: 1 });
    expect(inspection.list()[0]?.stuck).toContain("boot is in settingUp for more than 30.0 s");
    expect(inspection.node().stuck).toBe(1);
    const told = memory.logger.lines.filter(({ message }) => message.startsWith("stuck: "));
    expect(told).toHaveLength(1);
    expect(told[0]?.message).toContain("the answer of the guest agent is missing");
    expect(history().some(({ kind, name }) => kind === "note" && name.startsWith("stuck: "))).toBe(true);
    expect(events.some((event) => event.type === "summary" && event.summary.stuck !== undefined)).toBe(true);
    await stop();
    expect(inspection.stuckCounts).toEqual({ now: 0, total: 1 });
    expect(inspection.list()[0]?.stuck).toBeUndefined();
  });

  it("takes for stuck a pod whose VMM is halted, though nothing is waited for, until it runs again", async () => {
    vi.useFakeTimers({ shouldAdvanceTime: true });
    const { memory, inspection, troubles, create, start, shutdown } = world();
    await create();
    await start();
    await vi.advanceTimersByTimeAsync(30_000);
    expect(inspection.stuckCounts).toEqual({ now: 0, total: 0 });
    const { pid } = memory.driver.vm("pod").identity;
    troubles.set(pid, "is stopped by a signal (state T)");
    await vi.advanceTimersByTimeAsync(11_000);
    expect(inspection.stuckCounts.now).toBe(0);
    await vi.advanceTimersByTimeAsync(10_000);
    expect(inspection.stuckCounts).toEqual({ now: 1, total: 1 });
    expect(inspection.list()[0]?.stuck).toMatch(
      `its VMM (pid ${pid}) is stopped by a signal (state T), for more than 10.0 s`,
    );
    await vi.advanceTimersByTimeAsync(60_000);
    expect(inspection.stuckCounts).toEqual({ now: 1, total: 1 });
    troubles.clear();
    await vi.advanceTimersByTimeAsync(11_000);
    expect(inspection.stuckCounts).toEqual({ now: 0, total: 1 });
    await shutdown();
  });

  it("takes a pod for stuck no more when its halted VMM has ended", async () => {
    vi.useFakeTimers({ shouldAdvanceTime: true });
    const { memory, inspection, troubles, create, start, stop, shutdown } = world();
    await create();
    await start();
    troubles.set(memory.driver.vm("pod").identity.pid, "is stopped by a signal (state T)");
    await vi.advanceTimersByTimeAsync(31_000);
    expect(inspection.stuckCounts.now).toBe(1);
    await stop();
    expect(inspection.list()).toMatchObject([{ state: "stopped" }]);
    expect(inspection.list()[0]?.stuck).toBeUndefined();
    expect(inspection.stuckCounts).toEqual({ now: 0, total: 1 });
    await vi.advanceTimersByTimeAsync(31_000);
    expect(inspection.stuckCounts).toEqual({ now: 0, total: 1 });
    await shutdown();
  });

  it("takes for stuck what is much longer than usual, once that is known", async () => {
    vi.useFakeTimers({ shouldAdvanceTime: true });
    const { memory, inspection, create, start } = world({
      guest: () => ({ faults: { hangs: new Set(["sandbox.setup"]) } }),
    });
    for (let count = 0; count < 20; count++) inspection.figures.add("booting.settingUp", 3_000);
    await create();
    start().catch(() => undefined);
    await vi.waitFor(() => expect(memory.driver.vm("pod").guest.requests.length).toBeGreaterThan(0));
    await vi.advanceTimersByTimeAsync(14_000);
    expect(inspection.stuckCounts.now).toBe(0);
    await vi.advanceTimersByTimeAsync(3_000);
    expect(inspection.list()[0]?.stuck).toContain("usually less than 3.0 s");
    memory.driver.vm("pod").die(0, 9);
  });

  it("ends the error of a call with what was waited for, once, in one line", async () => {
    const { memory, host, create } = world();
    host.free = 2 ** 20;
    memory.faults.add("makeCgroup");
    const error = await create().catch((thrown: unknown) => thrown as Error);
    expect(error).toMatchObject({ code: "HostResource" });
    const { message } = error as Error;
    expect(message).toMatch(/a fault of the test; it waited .* for its directories, its control groups/);
    expect(message).toContain("daemon.state_directory (/state) has 1 MiB left");
    expect(message.match(/it waited/g)).toHaveLength(1);
    expect(message).not.toContain("\n");
  });

  it("adds nothing to an error that says all by itself", async () => {
    const { host, create, inspection, sandboxes, call } = world();
    await create();
    host.free = 2 ** 20;
    const answer = "Read-only file system (EROFS)";
    const mount = () => Promise.reject(blazarError("MountFailed", "make a mount point", answer));
    await expect(call("Controller.Start", mount)).rejects.toThrow(/\(EROFS\)$/);
    await expect(create()).rejects.toThrow(/there is one with this id$/);
    const refuse = () => Promise.reject(blazarError("InvalidSpec", "x", "y"));
    await expect(call("Controller.Start", refuse)).rejects.toThrow("cannot x: y");
    await sandboxes.shutdown("pod");
    expect(inspection.list().map(({ phase }) => phase)).toEqual(["stopped"]);
  });

  it("remembers what the host was short of when a pod died", async () => {
    const { memory, host, inspection, create, start, shutdown } = world();
    await create();
    await start();
    host.files.set("/proc/pressure/memory", "some avg10=88.00 avg60=1\n");
    await new Promise((resolve) => setTimeout(resolve, 1_100));
    memory.driver.vm("pod").die(0, 9);
    await vi.waitFor(() => expect(inspection.list()[0]?.failure?.code).toBe("VmmExited"));
    await shutdown();
    host.files.clear();
    const { why, summary } = await inspection.get("pod");
    expect(summary.phase).toBe("failed");
    expect(why).toContain("It failed with VmmExited");
    expect(why).toContain("the host is short of memory: tasks waited for 88 %");
  });

  it("keeps the end of the logs of a pod that has failed, and of no other", async () => {
    const { memory, inspection, create, start, shutdown } = world();
    const read = (log: LogName, tailBytes: number) =>
      new Promise<string>((resolve, reject) => {
        let text = "";
        inspection.logs("pod", log, { tailBytes, follow: true }).subscribe({
          next: (bytes) => {
            text += new TextDecoder().decode(bytes);
          },
          ...{ error: reject, complete: () => resolve(text) },
        });
      });
    await create();
    await start();
    memory.driver.vm("pod").die(0, 9);
    await vi.waitFor(() => expect(inspection.list()[0]?.failure?.code).toBe("VmmExited"));
    await shutdown();
    expect(await read("console", 1024)).toMatch(/^console of .*\n$/);
    expect(await read("vmm", 3)).toHaveLength(3);
    await create();
    await start();
    await shutdown();
    await expect(async () => await read("vmm", 3)).rejects.toThrow("they are kept of those that have failed");
  });

  it("asks what the VMM's process does", async () => {
    const { memory, inspection, troubles, create, start } = world();
    await create();
    await start();
    const { pid } = memory.driver.vm("pod").identity;
    troubles.set(pid, "is stopped by a signal (state T)");
    expect((await inspection.get("pod")).why).toContain(`Its VMM (pid ${pid}) is stopped by a signal`);
  });

  it("tells watchers whose an entry is before the entry", async () => {
    const { inspection, create } = world();
    const told: string[] = [];
    inspection.watch({ entries: true }).subscribe({
      next: (event) =>
        told.push(event.type === "summary" ? `summary of ${event.summary.pod.name}` : event.type),
      error: () => undefined,
      complete: () => undefined,
    });
    await create();
    expect(told.slice(0, 3)).toEqual(["reset", expect.stringMatching(/^summary of .+/), "entry"]);
  });

  it("tells the usage of each pod once, however often it is asked for", async () => {
    const { inspection, create } = world();
    await create();
    expect(await inspection.usage(Array.from({ length: 10_000 }, () => "pod"))).toHaveLength(1);
    await expect(inspection.usage(["pod", "none"])).rejects.toMatchObject({ code: "SandboxNotFound" });
  });

  it("tells watchers an ended pod that is forgotten", async () => {
    const { inspection, hub, create, start, shutdown, sandboxes } = world();
    await create();
    await start();
    await shutdown();
    const events: InspectionEvent[] = [];
    inspection.watch({ entries: false }).subscribe({
      next: (event) => events.push(event),
      error: () => undefined,
      complete: () => undefined,
    });
    await create();
    await vi.waitFor(() => expect(events.map(({ type }) => type)).toContain("forgotten"));
    expect(hub.records).toHaveLength(1);
    await sandboxes.shutdown("pod");
  });
});
