import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { WorkerPool } from "../../../../src/host/storage/worker-pool.ts";
import type { Outcome } from "../../../../src/workers/outcome.ts";

interface Tasks {
  double(input: number): Outcome<number>;
  refuse(input: string): Outcome<undefined>;
  crash(input: undefined): Outcome<undefined>;
  wait(input: Int32Array): Promise<Outcome<string>>;
}

const WORKER = `
export const double = (input) => ({ ok: true, value: input * 2 });
export const refuse = (reason) => ({ ok: false, code: "MountFailed", details: { operation: "mount", reason } });
export const wait = async (flag) => ({ ok: true, value: await Atomics.waitAsync(flag, 0, 0).value });
export const crash = () => { throw new TypeError("a bug in the task"); };
`;

function later<T>(): { readonly promise: Promise<T>; readonly resolve: (value: T) => void } {
  let resolve: (value: T) => void = () => undefined;
  const promise = new Promise<T>((fulfil) => {
    resolve = fulfil;
  });
  return { promise, resolve };
}

describe("a worker pool", () => {
  let base: string;
  let file: string;
  beforeAll(async () => {
    base = await mkdtemp(path.join(tmpdir(), "blazar-pool-"));
    file = path.join(base, "worker.mjs");
    await writeFile(file, WORKER);
  });
  afterAll(() => rm(base, { recursive: true }));

  test("runs tasks by name, several at once", async () => {
    const pool = new WorkerPool<Tasks>({ file });
    expect(await Promise.all([1, 2, 3].map((input) => pool.run("double", input)))).toEqual([2, 4, 6]);
    await pool.close();
  });

  test("gives a task's error back as what it was", async () => {
    const pool = new WorkerPool<Tasks>({ file });
    await expect(pool.run("refuse", "no such file")).rejects.toMatchObject({
      name: "BlazarError",
      code: "MountFailed",
      message: "cannot mount: no such file",
    });
    await pool.close();
  });

  test("gives the thread of a task that waits to another one", async () => {
    const pool = new WorkerPool<Tasks>({ file, maxThreads: 1, tasksPerThread: 2 });
    const flag = new Int32Array(new SharedArrayBuffer(4));
    const waiting = pool.run("wait", flag);
    expect(await pool.run("double", 4)).toBe(8);
    expect(pool.started).toBe(1);
    Atomics.notify(flag, 0);
    expect(await waiting).toBe("ok");
    await pool.close();
  });

  test("makes an internal error of a bug, and goes on", async () => {
    const pool = new WorkerPool<Tasks>({ file });
    await expect(pool.run("crash", undefined)).rejects.toMatchObject({
      code: "Internal",
      message: expect.stringContaining("a bug in the task"),
    });
    expect(await pool.run("double", 4)).toBe(8);
    await pool.close();
  });

  test("tells when it has become idle and how many threads were started so far, and lets more be done then", async () => {
    let told = later<readonly [number, number]>();
    const pool = new WorkerPool<Tasks>({
      file,
      idleTimeoutMs: 1,
      firstIdleMs: 1,
      keepOne: true,
      onIdle: async (idle) => told.resolve([idle.started, await idle.run("double", 21)]),
    });
    await pool.run("double", 1);
    expect(await told.promise).toEqual([1, 42]);
    told = later();
    expect(await pool.run("double", 4)).toBe(8);
    expect(await told.promise).toEqual([1, 42]);
    await pool.close();
  });

  test("goes on when what is done then fails, and says so", async () => {
    const failed = later<unknown>();
    const pool = new WorkerPool<Tasks>({
      file,
      firstIdleMs: 1,
      onIdle: async (idle) => void (await idle.run("refuse", "no")),
      onThreadError: failed.resolve,
    });
    await pool.run("double", 1);
    expect(await failed.promise).toMatchObject({ code: "MountFailed" });
    expect(await pool.run("double", 4)).toBe(8);
    await pool.close();
  });

  test("takes nothing once it is closed, and closing an unused one is nothing", async () => {
    const pool = new WorkerPool<Tasks>({ file });
    await pool.close();
    await expect(pool.run("double", 1)).rejects.toMatchObject({ code: "Internal" });
  });

  test("names the file of a worker that is not there", async () => {
    const pool = new WorkerPool<Tasks>({ file: path.join(base, "none.mjs") });
    await expect(pool.run("double", 1)).rejects.toThrow("none.mjs");
    await pool.close();
  });
});
