/**
 * Templates and their clones with real guests: what clones have in common, what they must not, and that nothing a
 * clone does, or its VMM were it taken over, reaches the template. One template for all: building it is what costs.
 */
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { cp, mkdir, open, readdir, readFile, rm, stat, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import { patient } from "../../../lab/host/patience.ts";
import { hashMemory, templatePaths } from "../../../src/vmm/common/templates/files.ts";
import { type Guest, greet, PING, returnsSpace, SHAPE, TemplateBench } from "../../support/bench/template.ts";
import { expectIsolated, markShare } from "../../support/isolation.ts";

const CLONES = 4;
const PREPARED = { diskSerial: "prepared", filesystem: "ext4" };
const MEBIBYTE = 1024 * 1024;
/** Within this a QEMU announces a VM that it takes for one that has moved: five times, the last after 550 ms. */
const ANNOUNCED_MS = 700;

let bench: TemplateBench;
let template = "";

beforeAll(async () => {
  bench = await TemplateBench.start();
  template = await bench.directory();
  await bench.build(template);
});

afterAll(() => bench.dispose());
afterEach(() => bench.killAll());

async function clones(count: number): Promise<Guest[]> {
  return Promise.all(Array.from({ length: count }, () => bench.clone(template)));
}

/** A copy of the template to be damaged. */
async function copyOfTemplate(): Promise<string> {
  const directory = await bench.directory();
  await cp(template, directory, { recursive: true });
  return directory;
}

/** The template's memory as clones map it: a sealed copy where QEMU is old. */
function mapped(): string {
  const [sealed] = bench.sealed;
  return sealed ?? join(template, "memory");
}

describe("a template", () => {
  it("has the key that its shape is identified by, and another shape has another one", async () => {
    const manifest: unknown = JSON.parse(await readFile(join(template, "manifest.json"), "utf8"));
    const identity = await bench.templates.identify(SHAPE);
    expect(manifest).toMatchObject({ identity });
    expect(identity.key).toMatch(/^[0-9a-f]{16,}$/);
    const larger = await bench.templates.identify({ ...SHAPE, memoryBytes: 2 * SHAPE.memoryBytes });
    expect(larger.key).not.toBe(identity.key);
  });

  it("leaves nothing of the VM that it was made of", async () => {
    expect(await bench.qemu.leftovers()).toEqual([]);
    expect((await readdir(template)).sort()).toEqual(["disk", "manifest.json", "memory", "state"]);
  });

  it("is found whole by a check", async () => {
    await bench.templates.verify(template, true);
  });

  it("is not made of a VM that does not get ready, and nothing of it stays", async () => {
    const directory = await bench.directory();
    const failing = bench.templates.build(
      SHAPE,
      directory,
      () => Promise.reject(new Error("not today")),
      new AbortController().signal,
    );
    await expect(failing).rejects.toThrow("not today");
    expect(await readdir(directory)).toEqual([]);
    expect(await bench.qemu.leftovers()).toEqual([]);
  });

  it("is given up with all that there is of it when its build is called off", async () => {
    const directory = await bench.directory();
    const controller = new AbortController();
    const building = bench.templates.build(
      SHAPE,
      directory,
      async () => controller.abort(),
      controller.signal,
    );
    await expect(building).rejects.toMatchObject({ code: "Cancelled" });
    expect(await readdir(directory)).toEqual([]);
    expect(await bench.qemu.leftovers()).toEqual([]);
  });
});

describe("a clone", () => {
  it("answers at once, and says how it came to be", async () => {
    const { vm, link } = await bench.clone(template);
    await link.request("ping", {}, PING);
    expect(vm.timeline.map(({ step }) => step)).toEqual(["spawned", "answering", "restored", "running"]);
  });

  it("takes its agent's link again after it was lost", async () => {
    const { vm, link } = await bench.clone(template);
    link.close();
    // a busy guest may not have noticed the loss: then the hello of this end is what it hears of it
    const again = await vi.waitFor(() => greet(vm), { timeout: patient(30_000) });
    expect(again.alive).toBe(true);
    again.close();
  });

  it("has its own memory, name, share and time, and random numbers that no other one has", async () => {
    const before = await hashMemory(mapped());
    const guests = await clones(CLONES);
    await Promise.all(guests.map(markShare));
    await expectIsolated(guests);
    expect(await hashMemory(mapped())).toBe(before);
    await bench.templates.verify(template, true);
  });

  it("has a disk of its own that is mounted already, as its template left it", async () => {
    const { disk } = templatePaths(template);
    const before = await readFile(disk);
    const guests = await clones(2);
    await Promise.all(guests.map(({ share }) => mkdir(join(share, "shared"))));
    await Promise.all(guests.map((guest, index) => guest.setUp(`guest-${index}`)));
    for (const { link, disk: image } of guests) {
      const again = link.request("disk.prepare", PREPARED, PING);
      await expect(again).rejects.toMatchObject({ code: "IllegalTransition" });
      expect((await stat(image)).blocks * 512).toBeLessThan(2 * MEBIBYTE);
    }
    const write = (index: number): string =>
      `ls /tmp 2>/dev/null; mkdir -p /tmp; echo ${index} > /tmp/own; dd if=/dev/zero of=/tmp/much bs=64k count=64; sync`;
    const wrote = await Promise.all(
      guests.map((guest, index) => guest.run(write(index), PREPARED.diskSerial)),
    );
    expect(wrote.map((text) => text.includes("own"))).toEqual([false, false]);
    // it was released with its container, and is found as any other disk is
    const read = guests.map((guest) => guest.run("cat /tmp/own", PREPARED.diskSerial));
    expect(await Promise.all(read)).toEqual(["0\n", "1\n"]);
    await bench.killAll();
    for (const { disk: image } of guests) await promisify(execFile)("e2fsck", ["-fn", image]);
    expect(await readFile(disk)).toEqual(before);
  });

  it("gives what is deleted on its disk back to its own file", async () => {
    const [guest] = await clones(1);
    if (guest === undefined) throw new Error("there is a clone");
    expect(await returnsSpace(guest)).toBe(true);
  });

  it("sends nothing by itself: no network sees the addresses that all VMs' interfaces have", async () => {
    const { nics } = bench.qemu;
    if (nics === undefined) return;
    const { vm } = await bench.clone(template);
    expect(await nics.heard(vm, 0, ANNOUNCED_MS)).toBe(0);
  });

  it("pays only for the memory that it changes", async () => {
    const [one, two] = await clones(2);
    if (one === undefined || two === undefined) throw new Error("no clones");
    const { rss, privateBytes } = await guestMemory(one.vm.identity.pid);
    expect(rss).toBeGreaterThan(0);
    expect(privateBytes).toBeLessThan(32 * MEBIBYTE);
  });

  it("cannot write to its template, whatever descriptor of it its VMM has", async () => {
    await bench.clone(template);
    const path = mapped();
    const before = await hashMemory(path);
    if (bench.sealed.size > 0) {
      const file = await open(path, "r+");
      await expect(file.write("hostile", 0)).rejects.toMatchObject({ code: "EPERM" });
      await expect(file.truncate(0)).rejects.toMatchObject({ code: "EPERM" });
      await file.close();
      const punch = promisify(execFile)("fallocate", [
        "--punch-hole",
        "--offset",
        "0",
        "--length",
        "1M",
        path,
      ]);
      await expect(punch).rejects.toThrow(/not permitted/);
    }
    expect(await hashMemory(path)).toBe(before);
  });

  it.each([0, 1, 5, 10, 20, 30, 40])("called off after %i ms leaves nothing", async (ms) => {
    const spec = await bench.cloneSpec(template);
    try {
      await (await bench.driver.launch(spec, AbortSignal.timeout(ms))).kill();
    } catch (error) {
      expect(error).toMatchObject({ code: "Cancelled" });
      expect(existsSync(spec.source.disk)).toBe(false);
    }
    expect(await bench.qemu.leftovers()).toEqual([]);
  });

  it("is not made without a place for its disk, and one that is not made leaves none", async () => {
    const spec = await bench.cloneSpec(template);
    await expect(
      bench.driver.launch({ ...spec, source: { ...spec.source, disk: undefined } }),
    ).rejects.toMatchObject({
      code: "InvalidArgument",
    });
    await expect(bench.driver.launch(spec, AbortSignal.timeout(5))).rejects.toMatchObject({
      code: "Cancelled",
    });
    expect(existsSync(spec.source.disk)).toBe(false);
  });

  it("is not made with another shape than its template's", async () => {
    const spec = { ...(await bench.cloneSpec(template)), memoryBytes: 2 * SHAPE.memoryBytes };
    await expect(bench.driver.launch(spec)).rejects.toMatchObject({ code: "InvalidArgument" });
    expect(await bench.qemu.leftovers()).toEqual([]);
  });
});

describe("a template that is not what it was", () => {
  async function launchError(directory: string): Promise<unknown> {
    const error: unknown = await bench.driver
      .launch(await bench.cloneSpec(directory))
      .catch((thrown: unknown) => thrown);
    expect(await bench.qemu.leftovers()).toEqual([]);
    return error;
  }

  it("is not found where there is none", async () => {
    expect(await launchError(await bench.directory())).toMatchObject({ code: "TemplateNotFound" });
  });

  it.each(["state", "memory", "disk", "manifest.json"])(
    "is broken when its %s is cut short",
    async (file) => {
      const directory = await copyOfTemplate();
      await truncate(join(directory, file), 100);
      expect(await launchError(directory)).toMatchObject({ code: "TemplateBroken" });
      await expect(bench.templates.verify(directory, false)).rejects.toMatchObject({
        code: "TemplateBroken",
      });
    },
  );

  it("is broken when its state is damaged after clones were made of it", async () => {
    const directory = await copyOfTemplate();
    await (await bench.clone(directory)).vm.kill();
    await rm(join(directory, "state"));
    await writeFile(join(directory, "state"), "QEVM, but not for long");
    expect(await launchError(directory)).toMatchObject({ code: "TemplateBroken" });
    await bench.templates.forget(directory);
  });

  it("is broken when it was made for something else", async () => {
    const directory = await copyOfTemplate();
    const manifest = join(directory, "manifest.json");
    const text = await readFile(manifest, "utf8");
    const { key } = await bench.templates.identify(SHAPE);
    await writeFile(manifest, text.replace(key, "0".repeat(key.length)));
    expect(await launchError(directory)).toMatchObject({ code: "TemplateBroken" });
  });

  it("is found damaged by a deep check when a byte of its memory has changed", async () => {
    const directory = await copyOfTemplate();
    await rm(join(directory, "memory"));
    await cp(join(template, "memory"), join(directory, "memory"));
    const file = await open(join(directory, "memory"), "r+");
    await file.write("x", 4 * MEBIBYTE);
    await file.close();
    await bench.templates.verify(directory, false);
    await expect(bench.templates.verify(directory, true)).rejects.toMatchObject({ code: "TemplateBroken" });
  });

  it("makes way for another one in its place", async () => {
    const directory = await copyOfTemplate();
    await (await bench.clone(directory)).vm.kill();
    const loaded = bench.sealed.size;
    for (const file of await readdir(directory)) await rm(join(directory, file));
    await bench.build(directory);
    const { link } = await bench.clone(directory);
    await link.request("ping", {}, PING);
    expect(bench.sealed.size).toBe(loaded);
    await bench.templates.forget(directory);
  });

  it("that is forgotten lives on in its clones, and is loaded again for the next one", async () => {
    const { link } = await bench.clone(template);
    const loaded = bench.sealed.size;
    await bench.templates.forget(template);
    expect(bench.sealed.size).toBe(Math.max(0, loaded - 1));
    await link.request("ping", {}, PING);
    await bench.clone(template);
  });
});

/**
 * How much of a guest's memory its VMM has in memory, and how much of that is its own (proc(5), smaps). It is several
 * areas: the template's, and anonymous ones in its holes.
 */
async function guestMemory(pid: number): Promise<{ rss: number; privateBytes: number }> {
  const smaps = await readFile(`/proc/${pid}/smaps`, "utf8");
  const areas = smaps.split(/^(?=[0-9a-f]+-[0-9a-f]+ )/m);
  const isTemplates = (text: string) => text.includes("blazar-template") || text.includes("/memory");
  const memory = areas.slice(areas.findIndex(isTemplates), areas.findLastIndex(isTemplates) + 1);
  const bytes = (name: string): number =>
    memory
      .map((area) => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, "m").exec(area)?.[1]) * 1024)
      .reduce((sum, each) => sum + each, 0);
  return { rss: bytes("Rss"), privateBytes: bytes("Private_Dirty") + bytes("Private_Clean") };
}
