/** The fake driver keeps the promises of the port: what is tested on it holds for a real one. */
import { describe, expect, it } from "vitest";
import type { Vm, VmSpec } from "../../../src/contracts/vm.ts";
import { SIGKILL } from "../../../src/lib/signals.ts";
import { type CloneBench, cloneConformance } from "../../support/conformance/clones.ts";
import type { NicBench } from "../../support/conformance/nic-bench.ts";
import { vmmConformance } from "../../support/conformance/vmm.ts";
import type { VmmBench } from "../../support/conformance/vmm-bench.ts";
import { FakeVmmDriver, type FakeVmmOptions } from "../../support/fake-vmm/driver.ts";
import { FakeTemplateStore } from "../../support/fake-vmm/template-store.ts";

const MEBIBYTE = 1024 * 1024;
const TEMPLATE = "/templates/one";
let nextDisk = 0;

function spec(id: string): VmSpec {
  return {
    id,
    directory: `/nowhere/${id}`,
    vcpus: 1,
    memoryBytes: 256 * MEBIBYTE,
    nics: 1,
    user: undefined,
    cgroups: [],
    source: { kind: "boot" },
  };
}

function cloneSpec(id: string): VmSpec {
  return { ...spec(id), source: { kind: "clone", template: TEMPLATE, disk: `/disks/${id}` } };
}

function forkSpec(id: string, original: string): VmSpec {
  return { ...spec(id), source: { kind: "fork", original, disk: `/disks/${id}` } };
}

async function makeBench(): Promise<VmmBench> {
  const driver = new FakeVmmDriver();
  const failing = new FakeVmmDriver({ faults: () => ({ launch: "fails" }) });
  const hanging = new FakeVmmDriver({ faults: () => ({ launch: "hangs" }) });
  return {
    driver,
    failing,
    hanging,
    hangEndsWith: undefined,
    spec: async (id) => spec(id),
    diskImage: async () => `/nowhere/${nextDisk++}.img`,
    layerImage: async () => "/nowhere/image.erofs",
    fillDisk: async (vm) => {
      await vm.attachDisk({ id: "full", path: "/nowhere/full.img", readonly: false });
      const reason = "No space left on device";
      driver.vm(vm.id).failDisk({ disk: "full", operation: "write", noSpace: true, reason });
    },
    nics: nicsOf(driver),
    killFromOutside: async (vm) => driver.vm(vm.id).die(-1, SIGKILL),
    daemonDies: async () => driver.daemonDies(),
    leftovers: async () => [driver, failing, hanging].flatMap(({ running }) => running),
    dispose: async () => undefined,
  };
}

/** A tap of a fake is a name: its VM must have it, and live. */
function nicsOf(driver: FakeVmmDriver): NicBench {
  const works = (vm: Vm, nic: number): boolean =>
    driver.running.includes(vm.id) && driver.vm(vm.id).nics[nic]?.tap === vm.nics[nic]?.tap;
  return {
    exchange: async (vm, nic) => {
      if (!works(vm, nic) || driver.vm(vm.id).paused) throw new Error(`${vm.id} does not answer`);
      return { toGuest: 2 ** 14, fromGuest: 2 ** 14 };
    },
    parked: async (vm, nic) => works(vm, nic),
  };
}

/** A driver with one template. */
function cloningDriver(options: FakeVmmOptions = {}) {
  const driver = new FakeVmmDriver({ ...options, templates: true });
  const { templates, forks } = driver;
  if (templates === undefined || forks === undefined) throw new Error("it clones and forks");
  templates.add(TEMPLATE, spec("template"));
  return { driver, templates, forks };
}

async function makeCloneBench(works = true): Promise<CloneBench> {
  const { driver, forks } = cloningDriver();
  forks.works = works;
  let directories = 0;
  return {
    driver,
    template: TEMPLATE,
    spec: async (id) => spec(id),
    emptyDirectory: async () => `/templates/new-${directories++}`,
    diskFor: ({ id }) => `/disks/${id}`,
    exists: async (path) => driver.disks.has(path),
    nics: nicsOf(driver),
    killFromOutside: async (vm) => driver.vm(vm.id).die(-1, SIGKILL),
    daemonDies: async () => driver.daemonDies(),
    leftovers: async () => driver.running,
    dispose: async () => undefined,
  };
}

vmmConformance("fake", makeBench);
cloneConformance("fake", () => makeCloneBench());
cloneConformance("fake, without emulation", () => makeCloneBench(false), false);

describe("the fake's faults", () => {
  it("come by where a VM comes from: a fork that fails leaves clones alone, and the other way round", async () => {
    for (const kind of ["clone", "fork"] as const) {
      const { driver, forks } = cloningDriver({
        faults: ({ id, source }) => (id !== "original" && source.kind === kind ? { launch: "fails" } : {}),
      });
      const original = await forks.launchOriginal(cloneSpec("original"));
      await forks.completeOriginal(original, new AbortController().signal);
      const code = kind === "clone" ? "TemplateBroken" : "VmmFailed";
      const [clone, fork] = [cloneSpec("clone"), forkSpec("fork", "original")];
      const [fails, works] = kind === "clone" ? [clone, fork] : [fork, clone];
      await expect(driver.launch(fails)).rejects.toMatchObject({ code });
      await driver.launch(works);
      expect(driver.running).toEqual(["original", works.id]);
    }
  });

  it("hold a fork until a test lets it go on, also without its original", async () => {
    const { driver, forks } = cloningDriver({
      faults: ({ source }) => (source.kind === "fork" ? { launch: "slow" } : {}),
    });
    const original = await forks.launchOriginal(cloneSpec("original"));
    await forks.completeOriginal(original, new AbortController().signal);
    const forked = driver.launch(forkSpec("fork", "original"));
    original.die(-1, SIGKILL);
    driver.held.get("fork")?.();
    expect((await forked).id).toBe("fork");
    await expect(driver.launch(forkSpec("late", "original"))).rejects.toMatchObject({ code: "VmNotFound" });
  });

  it("make templates go out of date", async () => {
    const { driver, templates } = cloningDriver();
    templates.kernel = "another";
    await expect(driver.launch(cloneSpec("vm"))).rejects.toMatchObject({ code: "TemplateBroken" });
  });

  it("are none by default: a driver without templates neither clones nor forks", async () => {
    const driver = new FakeVmmDriver();
    for (const each of [cloneSpec("vm"), forkSpec("vm", "original")])
      await expect(driver.launch(each)).rejects.toMatchObject({ code: "Unimplemented" });
  });
});

describe("the fake store of templates", () => {
  it("gives a lease of a template that can be cloned, and shows those that are out", async () => {
    const { driver, templates } = cloningDriver();
    const store = new FakeTemplateStore(templates);
    const lease = await store.use({ vcpus: 1, memoryBytes: 256 * MEBIBYTE, nics: 1 });
    if (lease === undefined) throw new Error("there is no template");
    expect(store.leases.size).toBe(1);
    const { directory: template } = lease.template;
    await driver.launch({ ...spec("vm"), source: { kind: "clone", template, disk: "/disks/vm" } });
    lease.release();
    lease.release();
    expect([store.leases.size, store.given]).toEqual([0, 1]);
  });

  it("has nothing when a test says so", async () => {
    const store = new FakeTemplateStore(cloningDriver().templates);
    store.empty = true;
    expect(await store.use({ vcpus: 1, memoryBytes: 256 * MEBIBYTE, nics: 1 })).toBeUndefined();
  });
});
