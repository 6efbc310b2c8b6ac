/** VMs that are forks of an original: taken when there is one, cloned when it fails, given up in time. */
import { afterEach, describe, expect, it, vi } from "vitest";
import type { SandboxSpec } from "../../../../src/contracts/sandbox.ts";
import type { VmSource } from "../../../../src/contracts/vm.ts";
import type { Actors } from "../../../../src/daemon/actors.ts";
import type { VmFaults } from "../../../support/fake-vmm/vm.ts";
import { MemoryHost } from "../../../support/memory-host/host.ts";
import { podSpec } from "../../../support/memory-host/pods.ts";
import { rehearsable } from "../../../support/memory-host/warm-stock.ts";

class Bench {
  forkFaults: VmFaults = {};
  cloneFaults: VmFaults = {};
  readonly memory = new MemoryHost({
    templates: true,
    guest: () => rehearsable,
    faults: ({ source }) =>
      source.kind === "fork" ? this.forkFaults : source.kind === "clone" ? this.cloneFaults : {},
  });
  readonly actors: Actors = this.memory.actors();
  private pods = 0;

  get original() {
    if (this.actors.original === undefined) throw new Error("the driver forks");
    return this.actors.original;
  }

  /** Makes the original, as after the first start of a daemon. */
  async ready(): Promise<void> {
    await this.memory.ports.pace.activity.during(async () => undefined);
    await this.original.start();
    await vi.waitFor(() => expect(this.original.isThere).toBe(true), { timeout: 5_000 });
  }

  /** Starts a pod; returns where its VM came from, its fallbacks included. */
  async pod(
    size: Partial<SandboxSpec> = {},
  ): Promise<{ id: string; tried: VmSource["kind"][]; info: Record<string, string> }> {
    const { sandboxes } = this.actors;
    const id = `pod-${++this.pods}`;
    await sandboxes.create(podSpec(id, size));
    await sandboxes.start(id);
    const tried = this.memory.driver.launches
      .filter((spec) => spec.id === id)
      .map(({ source }) => source.kind);
    return { id, tried, info: sandboxes.status(id).info };
  }

  async end(): Promise<string[]> {
    await this.actors.sandboxes.drain();
    await this.original.close();
    return this.memory.remains();
  }
}

describe("the original that VMs are forked from", () => {
  let bench = new Bench();
  afterEach(async () => {
    expect(await bench.end()).toEqual([]);
    bench = new Bench();
  });

  it("is a clone, and pods are its forks, with nothing of its own", async () => {
    const before = await bench.pod();
    expect([before.tried, before.info["source"]]).toEqual([["clone"], "clone"]);
    await bench.ready();
    const pods = [await bench.pod(), await bench.pod()];
    expect(pods.map(({ tried }) => tried)).toEqual([["fork"], ["fork"]]);
    expect(pods.map(({ info }) => info["source"])).toEqual(["fork", "fork"]);
    const directories = bench.memory.driver.launches.map(({ directory }) => directory);
    expect(new Set(directories).size).toBe(directories.length);
    expect(bench.original.isThere).toBe(true);
  });

  it("is not made before anything was started", async () => {
    await bench.original.start();
    await new Promise((resolve) => setImmediate(resolve));
    expect(bench.memory.driver.launches).toEqual([]);
  });

  it("is not made where nothing can be forked", async () => {
    const { forks } = bench.memory.driver;
    if (forks !== undefined) forks.works = false;
    await bench.original.start();
    expect(bench.original.isWanted).toBe(false);
    expect((await bench.pod()).tried).toEqual(["clone"]);
  });

  it("is done without where a fork fails: the pod is a clone, and after three nobody tries again", async () => {
    await bench.ready();
    bench.forkFaults = { launch: "fails" };
    for (let count = 1; count <= 3; count++) {
      const { tried, info } = await bench.pod();
      expect(tried).toEqual(["fork", "clone"]);
      expect(JSON.parse(info["fallbacks"] ?? "[]")).toMatchObject([{ from: "fork" }]);
    }
    bench.forkFaults = {};
    expect((await bench.pod()).tried).toEqual(["clone"]);
    const told = bench.memory.logger.lines.map(({ message }) => message);
    expect(
      told.filter(
        (message) => message === "the VM could not be forked, or the fork did not come up: it is cloned",
      ),
    ).toHaveLength(3);
    expect(told).toContain("VMs cannot be forked here: until a restart they are cloned");
  });

  it("and its template are done without where both fail: the pod boots, and says what was tried", async () => {
    await bench.ready();
    bench.forkFaults = { launch: "fails" };
    bench.cloneFaults = { launch: "fails" };
    const { tried, info } = await bench.pod();
    expect(tried).toEqual(["fork", "clone", "boot"]);
    expect(info).toMatchObject({ boot: "cold", source: "boot" });
    expect(JSON.parse(info["fallbacks"] ?? "[]")).toMatchObject([{ from: "fork" }, { from: "clone" }]);
    // the template is looked at again before the next clone
    expect(bench.memory.templates?.distrusted).toHaveLength(1);
  });

  it("is replaced when a fork of it does not come up, and its template is not blamed for that", async () => {
    await bench.ready();
    bench.forkFaults = { agentLink: "closes" };
    const first = await bench.pod();
    expect(first.tried).toEqual(["fork", "clone"]);
    bench.forkFaults = {};
    expect(bench.memory.templates?.distrusted).toEqual([]);
    await vi.waitFor(() => expect(bench.original.isThere).toBe(true), { timeout: 5_000 });
    expect((await bench.pod()).tried).toEqual(["fork"]);
  });

  it("is done without where a clone does not come up: the pod boots, and the template is distrusted", async () => {
    bench.cloneFaults = { agentLink: "garbage" };
    const { tried, info } = await bench.pod();
    expect(tried).toEqual(["clone", "boot"]);
    expect(info).toMatchObject({ boot: "cold", source: "boot" });
    expect(bench.memory.templates?.distrusted).toHaveLength(1);
  });

  it("is not taken for another template's, and makes room for one that is", async () => {
    await bench.ready();
    const { templates } = bench.memory.driver;
    if (templates !== undefined) templates.kernel = "another";
    expect((await bench.pod()).tried).toEqual(["clone"]);
    await vi.waitFor(() => expect(bench.original.isThere).toBe(true), { timeout: 5_000 });
    expect((await bench.pod()).tried).toEqual(["fork"]);
  });

  it("is of the size that pods ask for: others are clones until it is", async () => {
    await bench.ready();
    const size = { vcpus: 2, memoryBytes: 400 * 2 ** 20 };
    expect((await bench.pod()).tried).toEqual(["fork"]);
    const others: VmSource["kind"][][] = [];
    for (let pods = 0; pods < 4; pods++) others.push((await bench.pod(size)).tried);
    expect(others).toEqual([["clone"], ["clone"], ["clone"], ["clone"]]);
    await vi.waitFor(() => expect(bench.original.isThere).toBe(true), { timeout: 5_000 });
    expect((await bench.pod(size)).tried).toEqual(["fork"]);
  });

  it("is made anew after it has ended by itself", async () => {
    await bench.ready();
    const [id] = bench.memory.driver.running;
    bench.memory.driver.vm(id ?? "").die(-1, 9);
    const another = () => {
      expect(bench.original.isThere).toBe(true);
      expect(bench.memory.driver.running).not.toContain(id);
    };
    await vi.waitFor(another, { timeout: 5_000 });
  });
});
