/**
 * What every {@link VmmDriver} must do that clones and forks, as a vitest suite: the doc comments of src/contracts/vmm.ts
 * and src/contracts/vm-forks.ts, run.
 *
 * A bench brings a driver and one template, whose guest has its disk prepared. What guests see of each other is for the
 * integration tests of each driver.
 */
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Vm, VmShape, VmSource, VmSpec } from "../../../src/contracts/vm.ts";
import type { VmForks } from "../../../src/contracts/vm-forks.ts";
import type { TemplateDriver, VmmDriver } from "../../../src/contracts/vmm.ts";
import type { NicBench } from "./nic-bench.ts";
import { expectAdoptions, expectGone } from "./vmm-adoptions.ts";
import { greet } from "./vmm-bench.ts";
import { expectExchange } from "./vmm-nics.ts";

/** A driver and what the suite needs around it. */
export interface CloneBench {
  readonly driver: VmmDriver;
  /** Directory of a whole template of the shape of {@link spec}. */
  readonly template: string;
  /** A VM that may be launched, with a directory and a share of its own. */
  spec(id: string): Promise<VmSpec>;
  /** A place for a template to be built. */
  emptyDirectory(): Promise<string>;
  /** Where the disk of such a VM may go. */
  diskFor(spec: VmSpec): string;
  exists(path: string): Promise<boolean>;
  /** Undefined where VMs can have no network interfaces. */
  readonly nics: NicBench | undefined;
  killFromOutside(vm: Vm): Promise<void>;
  /** As for every driver: vmm-bench.ts. */
  daemonDies(): Promise<void>;
  /** Living processes, and files in the directories of {@link spec}. */
  leftovers(): Promise<readonly string[]>;
  dispose(): Promise<void>;
}

const { signal } = new AbortController();

/**
 * Defines the suite. `makeBench` is called for each test.
 * @param forks whether the VMM emulates: no other one can be forked
 */
export function cloneConformance(name: string, makeBench: () => Promise<CloneBench>, forks = true): void {
  describe(`VMM driver ${name}`, () => {
    let bench: CloneBench;
    beforeEach(async () => {
      bench = await makeBench();
    });
    afterEach(async () => {
      await bench.dispose();
    });

    describe("a template", () => templatePromises(() => bench));
    describe("a clone", () => clonePromises(() => bench));
    if (forks) describe("a fork", () => forkPromises(() => bench));
    else describe("a driver without forks", () => noForkPromises(() => bench));
  });
}

function templatePromises(bench: () => CloneBench): void {
  it("has one key for one shape, and says what it depends on", async () => {
    const shape = await bench().spec("vm");
    const first = await templates(bench()).identify(shape);
    expect(first.key).toMatch(/^[0-9a-f]{16,}$/);
    expect(Object.keys(first.parts).length).toBeGreaterThan(2);
    expect(await templates(bench()).identify(shape)).toEqual(first);
    const other = await templates(bench()).identify({ ...shape, memoryBytes: 2 * shape.memoryBytes });
    expect(other.key).not.toBe(first.key);
  });

  it("is built of a VM that got ready, which is gone afterwards, and can be cloned", async () => {
    const shape = shapeOf(await bench().spec("vm"));
    const directory = await bench().emptyDirectory();
    const steps = await templates(bench()).build(shape, directory, prepare(bench()), signal);
    expect(steps.length).toBeGreaterThan(0);
    expect(await bench().leftovers()).toEqual([]);
    await templates(bench()).verify(directory, true);
    const vm = await bench().driver.launch(await cloneSpec(bench(), "vm", directory));
    await greet(vm);
    await vm.kill();
  });

  it("is none when its VM does not get ready", async () => {
    const shape = shapeOf(await bench().spec("vm"));
    const directory = await bench().emptyDirectory();
    const ready = () => Promise.reject(new Error("not today"));
    await expect(templates(bench()).build(shape, directory, ready, signal)).rejects.toThrow("not today");
    expect(await bench().leftovers()).toEqual([]);
    const verified = templates(bench()).verify(directory, false);
    await expect(verified).rejects.toMatchObject({ code: "TemplateNotFound" });
  });

  it("can be forgotten, and cloned again", async () => {
    const { template, driver } = bench();
    const first = await driver.launch(await cloneSpec(bench(), "first"));
    await templates(bench()).forget(template);
    await greet(first);
    const second = await driver.launch(await cloneSpec(bench(), "second"));
    await greet(second);
    await Promise.all([first.kill(), second.kill()]);
  });
}

function clonePromises(bench: () => CloneBench): void {
  it("has an agent that goes on where the template's was", async () => {
    const specs = [await cloneSpec(bench(), "one"), await cloneSpec(bench(), "two")];
    const vms = await Promise.all(specs.map((spec) => bench().driver.launch(spec)));
    const [one, two] = await Promise.all(vms.map((vm) => greet(vm)));
    expect(one?.session).toBe(two?.session);
    await expect(one?.peer.request("ping", {}).result).resolves.toEqual({});
    await Promise.all(vms.map((vm) => vm.kill()));
    expect(await bench().leftovers()).toEqual([]);
  });

  it("has a disk of its own, prepared in its guest, that belongs to whoever asked", async () => {
    await expectOwnDisk(bench(), await cloneSpec(bench(), "vm"));
  });

  it("carries frames over taps of its own, also beside another one", async () => {
    const { nics, driver } = bench();
    if (nics === undefined) return;
    const specs = [await cloneSpec(bench(), "one"), await cloneSpec(bench(), "two")];
    const vms = await Promise.all(specs.map((spec) => driver.launch(spec)));
    for (const vm of vms) await expectExchange(nics, vm);
    await Promise.all(vms.map((vm) => vm.kill()));
  });

  it("is taken over by the next daemon, or gone", async () => {
    const spec = await cloneSpec(bench(), "vm");
    await expectAdoptions(bench(), await bench().driver.launch(spec), spec);
    const other = await cloneSpec(bench(), "other");
    await expectGone(bench(), await bench().driver.launch(other), other);
  });

  it("is refused without a template, a share, a place for its disk, or with another shape", async () => {
    const spec = await cloneSpec(bench(), "vm");
    const nowhere = { ...spec.source, template: await bench().emptyDirectory() };
    await expectRefused(bench(), { ...spec, source: nowhere }, "TemplateNotFound");
    await expectRefusedAnyway(bench(), spec);
  });

  it("is called off by a signal, and leaves nothing", async () => {
    await expectCalledOff(bench(), (id) => cloneSpec(bench(), id));
  });
}

function forkPromises(bench: () => CloneBench): void {
  it("can be made", async () => {
    expect(await forks(bench()).possible()).toBe(true);
  });

  it("goes on where its original was paused, and after the original's end", async () => {
    const { vm: original, session } = await makeOriginal(bench());
    const fork = await bench().driver.launch(await forkSpec(bench(), "fork", original));
    expect(fork.identity).not.toEqual(original.identity);
    const agent = await greet(fork);
    expect(agent.session).toBe(session);
    await original.kill();
    await expect(agent.peer.request("ping", {}).result).resolves.toEqual({});
    await fork.kill();
    expect(await bench().leftovers()).toEqual([]);
  });

  it("has a disk of its own, prepared in its guest, that belongs to whoever asked", async () => {
    const { vm: original } = await makeOriginal(bench());
    await expectOwnDisk(bench(), await forkSpec(bench(), "fork", original));
    await original.kill();
  });

  it("carries frames over taps of its own, never over its original's or another fork's", async () => {
    const { nics, driver } = bench();
    if (nics === undefined) return;
    const { vm: original } = await makeOriginal(bench());
    const specs = [await forkSpec(bench(), "one", original), await forkSpec(bench(), "two", original)];
    const vms = await Promise.all(specs.map((spec) => driver.launch(spec)));
    const all = [original, ...vms].flatMap((vm) => vm.nics);
    expect(new Set(all.map(({ tap }) => tap)).size).toBe(all.length);
    for (const vm of vms) await expectExchange(nics, vm);
    expect(await nics.parked(original, 0)).toBe(true);
    await original.kill();
    await Promise.all(vms.map((vm) => vm.kill()));
  });

  it("is taken over by the next daemon, without its original", async () => {
    const { vm: original } = await makeOriginal(bench());
    const spec = await forkSpec(bench(), "fork", original);
    const fork = await bench().driver.launch(spec);
    await original.kill();
    await expectAdoptions(bench(), fork, spec);
  });

  it("is refused without its original, and when that has ended", async () => {
    const stranger = await bench().driver.launch(await cloneSpec(bench(), "stranger"));
    await expectRefused(bench(), await forkSpec(bench(), "fork", stranger), "VmNotFound");
    const { vm: original } = await makeOriginal(bench());
    await bench().killFromOutside(original);
    await original.exited;
    await expectRefused(bench(), await forkSpec(bench(), "fork", original), "VmNotFound");
    await Promise.all([original.kill(), stranger.kill()]);
    expect(await bench().leftovers()).toEqual([]);
  });

  it("is refused without a share, a place for its disk, or with another shape", async () => {
    const { vm: original } = await makeOriginal(bench());
    await expectRefusedAnyway(bench(), await forkSpec(bench(), "fork", original));
    await original.kill();
  });

  it("is called off by a signal, and leaves nothing", async () => {
    const { vm: original } = await makeOriginal(bench());
    const before = await bench().leftovers();
    await expectCalledOff(bench(), (id) => forkSpec(bench(), id, original), before);
    await original.kill();
  });

  it("needs an original that was launched as a clone, for that purpose", async () => {
    const launched = forks(bench()).launchOriginal(await bench().spec("boot"));
    await expect(launched).rejects.toMatchObject({ code: "InvalidArgument" });
    const clone = await bench().driver.launch(await cloneSpec(bench(), "clone"));
    const completed = forks(bench()).completeOriginal(clone, signal);
    await expect(completed).rejects.toMatchObject({ code: "InvalidArgument" });
    await clone.kill();
    expect(await bench().leftovers()).toEqual([]);
  });
}

function noForkPromises(bench: () => CloneBench): void {
  it("says so, and launches no original", async () => {
    expect(await forks(bench()).possible()).toBe(false);
    const launched = forks(bench()).launchOriginal(await cloneSpec(bench(), "original"));
    await expect(launched).rejects.toMatchObject({ code: "Unimplemented" });
    expect(await bench().leftovers()).toEqual([]);
  });

  it("refuses a fork by the original that there is not", async () => {
    const clone = await bench().driver.launch(await cloneSpec(bench(), "clone"));
    await expectRefused(bench(), await forkSpec(bench(), "fork", clone), "VmNotFound");
    await clone.kill();
    expect(await bench().leftovers()).toEqual([]);
  });
}

type Spec<Kind extends VmSource["kind"]> = VmSpec & { readonly source: VmSource & { readonly kind: Kind } };

async function cloneSpec(bench: CloneBench, id: string, template = bench.template): Promise<Spec<"clone">> {
  const spec = await bench.spec(id);
  return { ...spec, source: { kind: "clone", template, disk: bench.diskFor(spec) } };
}

async function forkSpec(bench: CloneBench, id: string, original: Vm): Promise<Spec<"fork">> {
  const spec = await bench.spec(id);
  return { ...spec, source: { kind: "fork", original: original.id, disk: bench.diskFor(spec) } };
}

async function makeOriginal(bench: CloneBench): Promise<{ readonly vm: Vm; readonly session: string }> {
  const vm = await forks(bench).launchOriginal(await cloneSpec(bench, "original"));
  const { link, session, closed } = await greet(vm);
  link.close();
  await closed;
  await forks(bench).completeOriginal(vm, signal);
  return { vm, session };
}

/** Has the guest of a template prepare its disk. */
function prepare(bench: CloneBench): (vm: Vm) => Promise<void> {
  return async (vm) => {
    const { peer, link } = await greet(vm);
    const { diskId } = templates(bench);
    if (diskId !== undefined)
      await peer.request("disk.prepare", { diskSerial: diskId, filesystem: "ext4" }).result;
    link.close();
  };
}

async function expectOwnDisk(bench: CloneBench, spec: Spec<"clone" | "fork">): Promise<void> {
  const { diskId } = templates(bench);
  if (diskId === undefined) throw new Error("the driver's templates have no disk");
  const path = bench.diskFor(spec);
  const vm = await bench.driver.launch(spec);
  expect(await bench.exists(path)).toBe(true);
  const { peer } = await greet(vm);
  const again = peer.request("disk.prepare", { diskSerial: diskId, filesystem: "ext4" }).result;
  await expect(again).rejects.toMatchObject({ code: "IllegalTransition" });
  await expect(vm.attachDisk({ id: diskId, path, readonly: false })).rejects.toMatchObject({
    code: "QmpFailed",
  });
  await vm.kill();
  expect(await bench.exists(path)).toBe(true);
}

async function expectRefused(bench: CloneBench, spec: VmSpec, code: string): Promise<void> {
  await expect(bench.driver.launch(spec)).rejects.toMatchObject({ code });
  expect(await bench.exists(bench.diskFor(spec))).toBe(false);
}

/** What neither a clone nor a fork can be. */
async function expectRefusedAnyway(bench: CloneBench, spec: Spec<"clone" | "fork">): Promise<void> {
  const wrong: Partial<VmSpec>[] = [
    { source: { ...spec.source, disk: undefined } },
    { memoryBytes: 2 * spec.memoryBytes },
    { nics: spec.nics + 1 },
  ];
  for (const part of wrong) await expectRefused(bench, { ...spec, ...part }, "InvalidArgument");
}

async function expectCalledOff(
  bench: CloneBench,
  specOf: (id: string) => Promise<VmSpec>,
  before: readonly string[] = [],
): Promise<void> {
  const early = await specOf("vm-early");
  await expect(bench.driver.launch(early, AbortSignal.abort())).rejects.toMatchObject({ code: "Cancelled" });
  expect(await bench.exists(bench.diskFor(early))).toBe(false);
  for (const turns of [0, 1, 3, 10]) {
    const abort = new AbortController();
    const spec = await specOf(`vm-${turns}`);
    const launched = bench.driver.launch(spec, abort.signal);
    const outcome = launched.then(
      (vm) => vm.kill(),
      async (error: unknown) => {
        expect(error).toMatchObject({ code: "Cancelled" });
        expect(await bench.exists(bench.diskFor(spec))).toBe(false);
      },
    );
    for (let turn = 0; turn < turns; turn++) await new Promise<void>((resolve) => setImmediate(resolve));
    abort.abort();
    await outcome;
  }
  expect(await bench.leftovers()).toEqual(before);
}

function shapeOf({ vcpus, memoryBytes, nics }: VmSpec): VmShape {
  return { vcpus, memoryBytes, nics };
}

function templates({ driver }: CloneBench): TemplateDriver {
  if (driver.templates === undefined) throw new Error("the driver does not clone");
  return driver.templates;
}

function forks({ driver }: CloneBench): VmForks {
  if (driver.forks === undefined) throw new Error("the driver does not fork");
  return driver.forks;
}
