/** VMs that are forks of one that is kept for it: taken when there is one, cloned when it fails, given up in time. */
import { afterEach, describe, expect, it, vi } from "vitest";
import type { Host } from "../../../../src/actors/host.ts";
import { SandboxRuntime } from "../../../../src/actors/sandbox/sandbox.actor.ts";
import { OriginalKeeper } from "../../../../src/actors/supply/original.actor.ts";
import { poolSpec } from "../../../../src/actors/supply/pool.actor.ts";
import { VmSupply } from "../../../../src/actors/supply/vm-supply.ts";
import { blazarError } from "../../../../src/contracts/errors.ts";
import type { TemplateLease } from "../../../../src/contracts/templates.ts";
import type { VmSpec } from "../../../../src/contracts/vm.ts";
import type { TemplateDriver } from "../../../../src/contracts/vmm.ts";
import { MemoryHost } from "../../../support/memory-host/host.ts";

const { signal } = new AbortController();

class Bench {
  readonly memory = new MemoryHost({ guest: () => ({ script: () => ({ exit: 0 }) }) });
  readonly host: Host;
  readonly originals: OriginalKeeper;
  readonly clones: VmSpec[] = [];
  readonly forks: VmSpec[] = [];
  template = "first";
  forkFails = false;
  private pods = 0;

  constructor() {
    const { driver, host } = this.memory;
    const templates: Partial<TemplateDriver> = {
      diskId: undefined,
      forks: {
        possible: async () => true,
        original: async () => ({ fork: (spec, abort) => this.fork(spec, abort) }),
      },
    };
    this.host = {
      ...host,
      driver: {
        name: driver.name,
        probe: () => driver.probe(),
        templates: templates as TemplateDriver,
        launch: (spec, abort) => {
          this.clones.push(spec);
          return driver.launch(spec, abort);
        },
      },
      supply: new VmSupply({
        templates: { use: async () => this.lease() },
        parallelStarts: 2,
        now: Date.now,
      }),
    };
    this.originals = new OriginalKeeper(this.host, {
      rehearsalRoot: "/rehearsal",
      pressureLimit: 10,
      pressure: async () => 0,
    });
    this.host.supply.originals = this.originals;
  }

  /** Makes the original, as after the first start of a daemon. */
  async ready(): Promise<void> {
    await this.host.supply.activity.during(async () => undefined);
    this.originals.start();
    await vi.waitFor(() => expect(this.originals.isThere).toBe(true), { timeout: 5_000 });
    this.clones.length = 0;
  }

  async pod(): Promise<SandboxRuntime> {
    const pod = new SandboxRuntime(poolSpec(`pod-${++this.pods}`), this.host);
    await pod.provision(signal);
    await pod.acquire(signal);
    await pod.fork(signal);
    return pod;
  }

  private lease(): TemplateLease {
    const { template } = this;
    const key = { key: template, directory: `/templates/${template}` };
    return { template: key as TemplateLease["template"], release: () => undefined };
  }

  private fork(spec: VmSpec, abort: AbortSignal | undefined) {
    if (this.forkFails) {
      const reason = "not today";
      throw blazarError("HostResource", "fork a VM", reason, { subject: spec.id });
    }
    this.forks.push(spec);
    return this.memory.driver.launch(spec, abort);
  }
}

describe("a VM that others are forked from", () => {
  let bench = new Bench();
  afterEach(async () => {
    await bench.originals.close();
    // one that has ended by itself is cleared up by the way
    await vi.waitFor(() => expect(bench.memory.remains()).toEqual([]));
    bench = new Bench();
  });

  it("is a clone that says what it is for, and pods are its forks, with nothing of its own", async () => {
    const { clones, forks } = bench;
    expect(bench.originals.isThere).toBe(false);
    const before = await bench.pod();
    expect([clones.length, forks.length]).toEqual([1, 0]);
    await before.destroy();
    await bench.ready();
    const pods = [await bench.pod(), await bench.pod()];
    expect([clones.length, forks.length]).toEqual([0, 2]);
    expect(forks.map(({ forkable }) => forkable)).toEqual([false, false]);
    expect(new Set(forks.map(({ directory }) => directory)).size).toBe(2);
    for (const pod of pods) {
      await pod.connectAgent(signal);
      await pod.setUpGuest(signal);
      await pod.destroy();
    }
    expect(bench.originals.isThere).toBe(true);
  });

  it("is not made before anything was started", async () => {
    bench.originals.start();
    await new Promise((resolve) => setImmediate(resolve));
    expect(bench.clones).toEqual([]);
  });

  it("is done without where a fork fails: the pod is a clone, and after three nobody tries again", async () => {
    await bench.ready();
    bench.forkFails = true;
    for (let count = 1; count <= 3; count++) {
      await (await bench.pod()).destroy();
      expect(bench.clones.length).toBe(count);
    }
    bench.forkFails = false;
    await (await bench.pod()).destroy();
    expect([bench.clones.length, bench.forks.length]).toEqual([4, 0]);
  });

  it("is not taken for another template's, and makes room for one that is", async () => {
    await bench.ready();
    bench.template = "second";
    await (await bench.pod()).destroy();
    expect(bench.forks).toEqual([]);
    await vi.waitFor(() => expect(bench.originals.isThere).toBe(true), { timeout: 5_000 });
    await (await bench.pod()).destroy();
    expect(bench.forks.map(({ template }) => template)).toEqual(["/templates/second"]);
  });

  it("is made anew after it has ended by itself", async () => {
    await bench.ready();
    const [id] = bench.memory.driver.running;
    bench.memory.driver.vm(id ?? "").die(-1, 9);
    const another = () => {
      expect(bench.originals.isThere).toBe(true);
      expect(bench.memory.driver.running).not.toContain(id);
    };
    await vi.waitFor(another, { timeout: 5_000 });
  });
});
