import { existsSync } from "node:fs";
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { describe, expect, it, onTestFinished, vi } from "vitest";
import { blazarError } from "../../../../src/contracts/errors.ts";
import type { Template } from "../../../../src/contracts/templates.ts";
import { lock } from "../../../../src/host/file-lock.ts";
import {
  LocalTemplateStore,
  type TemplateStoreOptions,
} from "../../../../src/host/templates/template-store.ts";
import { CapturedLogger } from "../../../support/captured-logger.ts";
import { temporaryDirectory } from "../../../support/temporary-directory.ts";
import { FakeTemplateDriver } from "./fake-template-driver.ts";

const MEGABYTE = 2 ** 20;
const SMALL = { vcpus: 1, memoryBytes: 128 * MEGABYTE, nics: 1 };
const LARGE = { vcpus: 2, memoryBytes: 512 * MEGABYTE, nics: 1 };
const HUGE = { vcpus: 4, memoryBytes: 1024 * MEGABYTE, nics: 1 };
const MINUTE = 60_000;
/** What became of a clone. */
const lost = blazarError("GuestNotReady", "reach the agent of a copy", "no hello");

interface Surroundings {
  readonly store: LocalTemplateStore;
  readonly driver: FakeTemplateDriver;
  readonly logger: CapturedLogger;
  readonly directory: string;
  readonly clock: { now: number };
  /** Another process, as it were. */
  another(): LocalTemplateStore;
}

async function surroundings(options: Partial<TemplateStoreOptions> = {}): Promise<Surroundings> {
  const directory = join(await temporaryDirectory(), "templates");
  const driver = new FakeTemplateDriver();
  const logger = new CapturedLogger();
  const clock = { now: Date.UTC(2026, 0, 1) };
  const another = (): LocalTemplateStore => {
    const store = new LocalTemplateStore({
      driver: { name: "fake", templates: driver },
      directory,
      diskLimitBytes: 1024 * MEGABYTE,
      prepare: async () => undefined,
      logger,
      now: () => clock.now,
      ...options,
    });
    onTestFinished(() => store.close());
    return store;
  };
  return { store: another(), driver, logger, directory, clock, another };
}

/** Waits for what the store does behind, by joining it. */
async function built({ store }: Surroundings, shape = SMALL): Promise<Template> {
  return store.build(shape);
}

function warnings({ logger }: Surroundings): string[] {
  return logger.lines.filter(({ level }) => level === "warn").map(({ message }) => message);
}

async function names(directory: string): Promise<string[]> {
  return (await readdir(directory)).filter((name) => name !== ".lock");
}

describe("a start that finds no template", () => {
  it("gets none, and one is built behind, once, with one line in the log", async () => {
    const all = await surroundings();
    all.driver.fault = "held";
    const begun = all.driver.begun();
    expect(await Promise.all([all.store.use(SMALL), all.store.use(SMALL)])).toEqual([undefined, undefined]);
    await begun;
    expect(await all.store.use(SMALL)).toBeUndefined();
    const joined = built(all);
    all.driver.letGo();
    const { key } = await joined;
    expect(all.driver.built).toHaveLength(1);
    expect(warnings(all)).toEqual(["no template for this VM: it boots, and one is built behind"]);
    const lease = await all.store.use(SMALL);
    expect(lease?.template).toMatchObject({ key, shape: SMALL, directory: join(all.directory, key, "vm") });
  });

  it("gets none where the driver cannot clone, and nothing is made", async () => {
    const all = await surroundings({ driver: { name: "simple", templates: undefined } });
    expect(await all.store.use(SMALL)).toBeUndefined();
    await expect(all.store.build(SMALL)).rejects.toMatchObject({ code: "Unimplemented" });
    expect(existsSync(all.directory)).toBe(false);
  });

  it("is not harmed by a driver that cannot say what it has, which is told once", async () => {
    const all = await surroundings();
    all.driver.identifyFails = new Error("no QEMU");
    expect(await all.store.use(SMALL)).toBeUndefined();
    expect(await all.store.use(SMALL)).toBeUndefined();
    expect(warnings(all)).toEqual(["no templates: VMs boot"]);
  });

  it("is not harmed by a directory that cannot be made", async () => {
    const directory = join(await temporaryDirectory(), "file");
    await writeFile(directory, "");
    const all = await surroundings({ directory: join(directory, "templates") });
    expect(await all.store.use(SMALL)).toBeUndefined();
    await expect(all.store.build(SMALL)).rejects.toMatchObject({
      code: "HostResource",
      message: expect.stringContaining("template.directory"),
    });
  });
});

describe("a build", () => {
  it("tells its steps, and has none if the template was there", async () => {
    const { store } = await surroundings();
    expect((await store.build(SMALL)).steps).toEqual([{ step: "paused", ms: 7 }]);
    expect((await store.build(SMALL)).steps).toEqual([]);
  });

  it("is joined by those who come later", async () => {
    const { store, driver } = await surroundings();
    driver.fault = "held";
    const begun = driver.begun();
    const first = store.build(SMALL);
    await begun;
    const second = store.build(SMALL);
    driver.letGo();
    expect((await first).key).toBe((await second).key);
    expect(driver.built).toHaveLength(1);
  });

  it("goes on for those who wait when another gives up, and ends with the last", async () => {
    const { store, driver, directory } = await surroundings();
    driver.fault = "hangs";
    const begun = driver.begun();
    const [one, two] = [new AbortController(), new AbortController()];
    const first = store.build(SMALL, one.signal);
    const second = store.build(SMALL, two.signal);
    await begun;
    one.abort();
    await expect(first).rejects.toMatchObject({ code: "Cancelled" });
    expect(await names(directory)).toEqual([expect.stringMatching(/^\.new-/)]);
    two.abort();
    await expect(second).rejects.toMatchObject({ code: "Cancelled" });
    driver.fault = undefined;
    await store.build(SMALL);
    expect(driver.built).toHaveLength(2);
    expect(await names(directory)).not.toContainEqual(expect.stringMatching(/^\.new-/));
  });

  it("that fails leaves nothing", async () => {
    const { store, driver, directory } = await surroundings();
    driver.fault = new Error("no memory");
    await expect(store.build(SMALL)).rejects.toMatchObject({ code: "VmmFailed" });
    expect(await names(directory)).toEqual([]);
  });

  it("that has failed is not tried again at once behind a start, but whenever an operator asks", async () => {
    const { store, driver } = await surroundings();
    driver.fault = new Error("no memory");
    await expect(store.build(SMALL)).rejects.toThrow("no memory");
    expect(await store.use(SMALL)).toBeUndefined();
    await expect(store.build(SMALL)).rejects.toThrow("no memory");
    expect(driver.built).toHaveLength(2);
  });

  it("that hangs ends at its deadline and leaves nothing", async () => {
    const { store, driver, directory } = await surroundings({ buildMs: 20 });
    driver.fault = "hangs";
    await expect(store.build(SMALL)).rejects.toMatchObject({ code: "DeadlineExceeded" });
    expect(await names(directory)).toEqual([]);
  });

  it("whose guest never gets ready fails with what stood in the way", async () => {
    const { store, directory } = await surroundings({
      prepare: () => Promise.reject(new Error("no hello")),
    });
    await expect(store.build(SMALL)).rejects.toThrow("no hello");
    expect(await names(directory)).toEqual([]);
  });

  it("ends when the store is closed", async () => {
    const { store, driver, directory } = await surroundings();
    driver.fault = "hangs";
    const begun = driver.begun();
    const building = store.build(SMALL);
    building.catch(() => undefined);
    await begun;
    await store.close();
    await expect(building).rejects.toMatchObject({ code: "Cancelled" });
    expect(await names(directory)).toEqual([]);
    expect(await store.use(SMALL)).toBeUndefined();
    await expect(store.build(SMALL)).rejects.toMatchObject({ code: "Cancelled" });
  });

  it("is not done twice by two processes", async () => {
    const { store, driver, another } = await surroundings();
    driver.fault = "held";
    const begun = driver.begun();
    const [first, second] = [store.build(SMALL), another().build(SMALL)];
    await begun;
    driver.letGo();
    const steps = (await Promise.all([first, second])).map((each) => each.steps.length);
    expect(steps.sort()).toEqual([0, 1]);
    expect(driver.built).toHaveLength(1);
  });

  it("takes away what a crash has left, but not what another process is building", async () => {
    const { store, directory, driver, another } = await surroundings();
    await mkdir(join(directory, ".new-abcdef", "vm"), { recursive: true });
    await mkdir(join(directory, ".old-abcdef", "vm"), { recursive: true });
    const held = await lock(join(directory, ".lock"), new AbortController().signal);
    const building = store.build(SMALL);
    const other = another();
    expect(await other.use(LARGE)).toBeUndefined();
    expect(await names(directory)).toHaveLength(2);
    await held.release();
    await building;
    await other.build(LARGE);
    expect(driver.built).toHaveLength(2);
    expect(await names(directory)).toEqual((await store.list()).map(({ key }) => key).sort());
  });
});

describe("a template found on disk", () => {
  it("is checked once by a process, not deeply", async () => {
    const all = await surroundings();
    const { directory } = await built(all);
    all.driver.verified.length = 0;
    const next = all.another();
    await Promise.all([next.use(SMALL), next.use(SMALL)]);
    await next.use(SMALL);
    expect(all.driver.verified).toEqual([{ directory, deep: false }]);
  });

  it.each([
    ["its memory", "vm/memory"],
    ["its description", "template.json"],
  ])("is removed if %s is broken, and another built behind", async (_, file) => {
    const all = await surroundings();
    const { key, directory } = await built(all);
    await writeFile(join(all.directory, key, file), "{}");
    const next = all.another();
    expect(await next.use(SMALL)).toBeUndefined();
    expect(all.driver.forgotten).toContain(directory);
    await next.build(SMALL);
    expect(all.driver.built).toHaveLength(2);
    expect(warnings(all)).toHaveLength(1);
    expect(await next.use(SMALL)).toBeDefined();
  });

  it("is left alone after a clone of it did not come up, until all of it was read, and replaced if it is broken by now", async () => {
    const all = await surroundings();
    const { key, directory } = await built(all);
    const lease = await all.store.use(SMALL);
    await writeFile(join(all.directory, key, "template.json"), "garbage");
    all.driver.verified.length = 0;
    lease?.distrust(lost);
    lease?.release();
    expect(await all.store.use(SMALL)).toBeUndefined();
    await vi.waitFor(() => expect(all.driver.forgotten).toContain(directory));
    await vi.waitFor(async () => expect(await all.store.use(SMALL)).toBeDefined());
    expect(all.driver.built).toHaveLength(2);
  });

  it("is used again if all of it is whole, and made anew the second time", async () => {
    const all = await surroundings();
    const { directory } = await built(all);
    (await all.store.use(SMALL))?.distrust(lost);
    await vi.waitFor(async () => expect(await all.store.use(SMALL)).toBeDefined());
    expect(all.driver.verified).toContainEqual({ directory, deep: true });
    expect(all.driver.built).toHaveLength(1);
    (await all.store.use(SMALL))?.distrust(lost);
    expect(await all.store.use(SMALL)).toBeUndefined();
    await vi.waitFor(async () => expect(await all.store.use(SMALL)).toBeDefined());
    expect(all.driver.built).toHaveLength(2);
  });

  it("is read whole once, behind the starts, in the life of a process", async () => {
    const all = await surroundings({ examineAfterMs: 1 });
    const { directory } = await built(all);
    for (let use = 0; use < 3; use++) expect(await all.store.use(SMALL)).toBeDefined();
    const deep = () => all.driver.verified.filter((each) => each.deep);
    await vi.waitFor(() => expect(deep()).toEqual([{ directory, deep: true }]));
    await all.store.use(SMALL);
    await all.store.close();
    expect(deep()).toHaveLength(1);
  });

  it("is not used for a machine that has changed", async () => {
    const all = await surroundings();
    await built(all);
    all.driver.kernel = "6.2";
    expect(await all.store.use(SMALL)).toBeUndefined();
    await all.store.build(SMALL);
    expect((await all.store.use(SMALL))?.template.identity.parts).toMatchObject({ kernel: "6.2" });
  });

  it("is missed when another process has removed it", async () => {
    const all = await surroundings();
    const { key } = await built(all);
    await all.another().remove(key);
    expect(await all.store.use(SMALL)).toBeUndefined();
    await built(all);
    expect(await all.store.use(SMALL)).toBeDefined();
  });

  it("is verified deeply where an operator asks", async () => {
    const all = await surroundings();
    const { key, directory } = await built(all);
    await all.store.verify(key);
    expect(all.driver.verified.at(-1)).toEqual({ directory, deep: true });
    const file = join(directory, "memory");
    await writeFile(file, `${(await readFile(file, "latin1")).slice(1)}y`);
    await expect(all.store.verify(key)).rejects.toMatchObject({ code: "TemplateBroken" });
    await expect(all.store.verify("0".repeat(16))).rejects.toMatchObject({ code: "TemplateNotFound" });
  });
});

describe("a template in use", () => {
  it("cannot be removed until its last lease is back", async () => {
    const all = await surroundings();
    const { key } = await built(all);
    const [one, two] = [await all.store.use(SMALL), await all.store.use(SMALL)];
    await expect(all.store.remove(key)).rejects.toMatchObject({ code: "TemplateInUse" });
    one?.release();
    one?.release();
    await expect(all.store.remove(key)).rejects.toMatchObject({ code: "TemplateInUse" });
    two?.release();
    await all.store.close();
    await all.store.remove(key);
    expect(await all.store.list()).toEqual([]);
    await expect(all.store.remove(key)).rejects.toMatchObject({ code: "TemplateNotFound" });
  });

  it("cannot be removed by another process either, unless its user is dead", async () => {
    const all = await surroundings();
    const { key } = await built(all);
    await all.store.use(SMALL);
    await expect(all.another().remove(key)).rejects.toMatchObject({ code: "TemplateInUse" });
    expect(await all.store.list()).toHaveLength(1);
    await all.store.close();
    await writeFile(join(all.directory, key, `in-use.${process.pid}.1`), "");
    await all.another().remove(key);
    expect(await names(all.directory)).toEqual([]);
  });

  it("is named by nothing but its key", async () => {
    const { store, directory } = await surroundings();
    await mkdir(directory, { recursive: true });
    await expect(store.remove("../templates")).rejects.toMatchObject({ code: "TemplateNotFound" });
    expect(existsSync(dirname(directory))).toBe(true);
  });
});

describe("the disk limit", () => {
  const room = { diskLimitBytes: 2.5 * MEGABYTE };

  it("drops the least recently used, and says so", async () => {
    const all = await surroundings(room);
    all.driver.bytes = MEGABYTE;
    const small = await all.store.build(SMALL);
    all.clock.now += MINUTE;
    const large = await all.store.build(LARGE);
    all.clock.now += MINUTE;
    (await all.store.use(SMALL))?.release();
    all.clock.now += MINUTE;
    const huge = await all.store.build(HUGE);
    expect((await all.store.list()).map(({ key }) => key)).toEqual([huge.key, small.key]);
    expect(all.driver.forgotten).toContain(large.directory);
    expect(await all.store.use(LARGE)).toBeUndefined();
  });

  it("never drops one in use, nor any if that would not help", async () => {
    const all = await surroundings(room);
    all.driver.bytes = MEGABYTE;
    await all.store.build(SMALL);
    all.clock.now += MINUTE;
    await all.store.build(LARGE);
    await all.store.use(SMALL);
    const lease = await all.store.use(LARGE);
    await expect(all.store.build(HUGE)).rejects.toMatchObject({ code: "ResourceExhausted" });
    expect(await all.store.list()).toHaveLength(2);
    lease?.release();
    all.driver.bytes = 3 * MEGABYTE;
    await expect(all.store.build(HUGE)).rejects.toThrow("template.disk_limit");
    expect(await all.store.list()).toHaveLength(2);
    expect(await names(all.directory)).toHaveLength(2);
  });
});
