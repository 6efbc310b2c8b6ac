import { stat, writeFile } from "node:fs/promises";
import { request } from "node:http";
import { connect, createServer } from "node:net";
import { join } from "node:path";
import { setImmediate } from "node:timers/promises";
import { describe, expect, it, onTestFinished, vi } from "vitest";
import type { DrainedSandbox, DrainProgress } from "../../../../src/contracts/drain.ts";
import type { BlazarError } from "../../../../src/contracts/errors.ts";
import type { EventSource } from "../../../../src/contracts/event-source.ts";
import type { InspectionEvent } from "../../../../src/contracts/inspection.ts";
import { silentLogger } from "../../../../src/contracts/logger.ts";
import { InspectionClient } from "../../../../src/rpc/inspection/client.ts";
import { createDrainHandlers } from "../../../../src/rpc/inspection/drain.ts";
import { InspectionServer, type InspectionServerOptions } from "../../../../src/rpc/inspection/server.ts";
import { temporaryDirectory } from "../../../support/temporary-directory.ts";
import { BARE, CHART, DETAIL, NODE, ScriptedInspection, SUMMARY } from "./samples.ts";

async function serve(options: Partial<InspectionServerOptions> = {}) {
  const path = join(await temporaryDirectory(), "inspect.sock");
  const inspection = new ScriptedInspection();
  const server = new InspectionServer({ inspection, logger: silentLogger, ...options });
  await server.listen(path);
  onTestFinished(() => server.close());
  const client = new InspectionClient(path);
  onTestFinished(() => client.close());
  return { path, inspection, server, client };
}

/** Collects what a source tells. */
function listen<Event>(source: EventSource<Event>) {
  const events: Event[] = [];
  const ends: unknown[] = [];
  const subscription = source.subscribe({
    next: (event) => events.push(event),
    error: (error) => ends.push(error),
    complete: () => ends.push("complete"),
  });
  return { events, ends, leave: () => subscription.unsubscribe() };
}

function get(socketPath: string, path: string, method = "GET") {
  return new Promise<{ status: number | undefined; type: string | undefined; text: string }>(
    (resolve, reject) => {
      const call = request({ socketPath, path, method }, (response) => {
        let text = "";
        response.on("data", (chunk: Buffer) => {
          text += chunk.toString();
        });
        response.on("end", () =>
          resolve({ status: response.statusCode, type: response.headers["content-type"], text }),
        );
      });
      call.on("error", reject);
      call.end();
    },
  );
}

describe("the inspection socket", () => {
  it("is its owner's only", async () => {
    const { path } = await serve();
    expect((await stat(path)).mode & 0o777).toBe(0o600);
  });

  it("carries every field of the contract both ways", async () => {
    const { client } = await serve();
    expect(await client.node()).toEqual(NODE);
    expect(await client.list()).toEqual([BARE, SUMMARY]);
    expect(await client.get("s1")).toEqual(DETAIL);
    expect(await client.charts()).toEqual([CHART]);
  });

  it("passes on whose usage is asked for", async () => {
    const { client, inspection } = await serve();
    const containers = { cpuMs: 1.5, memoryBytes: 2 ** 33, pids: 3 };
    expect(await client.usage(["s1", "s2"])).toEqual([
      { sandboxId: "s1", at: 1, containers, vmm: { cpuMs: 2, memoryBytes: 4 } },
      { sandboxId: "s2", at: 1 },
    ]);
    expect(inspection.asked).toEqual([["s1", "s2"]]);
  });

  it("answers an unknown id in the daemon's own sentence", async () => {
    const { client } = await serve();
    const error = await client.get("nope").catch((thrown: unknown) => thrown as BlazarError);
    expect(error).toMatchObject({
      kind: "notFound",
      message: "cannot find the sandbox (nope): no such sandbox",
    });
  });

  it("answers an id of any length in a sentence that can be sent", async () => {
    const { client } = await serve();
    await expect(client.get("x".repeat(1_000_000))).rejects.toMatchObject({ kind: "notFound" });
    expect(await client.list()).toHaveLength(2);
  });

  it("says why no daemon can be asked, and what to look at", async () => {
    const directory = await temporaryDirectory();
    const reasonAt = async (path: string) => {
      const client = new InspectionClient(path);
      onTestFinished(() => client.close());
      return await client.list().catch((error: BlazarError) => `${error.code}: ${error.message}`);
    };
    expect(await reasonAt(join(directory, "none.sock"))).toMatch(
      /^RemoteUnavailable: .*: there is no such socket; see whether blazard runs/,
    );
    const file = join(directory, "file");
    await writeFile(file, "");
    expect(await reasonAt(file)).toMatch(/nobody listens there; see whether/);
    expect(await reasonAt(join(directory, "n".repeat(108)))).toMatch(/the kernel allows 107; see whether/);
    const silent = createServer((socket) => socket.destroy());
    onTestFinished(() => void silent.close());
    await new Promise<void>((resolve) => silent.listen(join(directory, "silent"), resolve));
    expect(await reasonAt(join(directory, "silent"))).toMatch(/it does not answer; see whether/);
  });

  it("a daemon that is stopped is told as such, also by a drain", async () => {
    const socket = join(await temporaryDirectory(), "inspection.sock");
    // the kernel takes connections for a process that does not run
    const silent = createServer(() => undefined).listen(socket);
    const client = new InspectionClient(socket, 200);
    onTestFinished(() => {
      client.close();
      silent.close();
    });
    const late = {
      code: "RemoteUnavailable",
      message: expect.stringMatching(/it has not answered in time; blazar doctor/),
    };
    await expect(client.list()).rejects.toMatchObject(late);
    await expect(client.drain(100)).rejects.toMatchObject(late);
  });

  it("does not offer Exec where nobody serves it", async () => {
    const { client } = await serve();
    const call = client.exec();
    const error = await new Promise((resolve) => call.once("error", resolve));
    expect(client.errorOf(error)).toMatchObject({ code: "Unimplemented" });
  });
});

describe("Drain", () => {
  const LAST: DrainedSandbox = {
    id: "s1",
    pod: { name: "web", namespace: "shop" },
    state: "stopped",
    leftovers: "endVmm",
  };

  it("tells of every sandbox that has ended, and ends in order", async () => {
    const drain = createDrainHandlers({
      drain: async (tell) => {
        tell({ ended: undefined, left: 1 });
        tell({ ended: LAST, left: 0 });
      },
      left: () => [],
      undrain: () => undefined,
    });
    const { client } = await serve({ drain });
    const told: DrainProgress[] = [];
    await client.drain(10_000, (progress) => told.push(progress));
    expect(told).toEqual([
      { ended: undefined, left: 1 },
      { ended: LAST, left: 0 },
    ]);
  });

  it("names what has not ended in time", async () => {
    const hanging = { ...LAST, state: "stopping.vmm.killing" };
    const drain = createDrainHandlers({
      drain: () => new Promise(() => undefined),
      left: () => [hanging],
      undrain: () => undefined,
    });
    const { client } = await serve({ drain });
    await expect(client.drain(20)).rejects.toMatchObject({
      code: "DeadlineExceeded",
      message: expect.stringContaining(
        "1 pods have not ended within 0.02 s: shop/web (stopping.vmm.killing)",
      ),
    });
  });

  it("is taken back by Undrain", async () => {
    const undrain = vi.fn();
    const { client } = await serve({
      drain: createDrainHandlers({ drain: async () => undefined, left: () => [], undrain }),
    });
    await client.undrain();
    expect(undrain).toHaveBeenCalledOnce();
  });
});

describe("Watch", () => {
  it("tells what is there, then what happens, and the end", async () => {
    const { client, inspection } = await serve();
    const { events, ends } = listen(client.watch({ sandboxId: "s1", entries: true }));
    await vi.waitFor(() => expect(events).toHaveLength(3));
    expect(inspection.watched).toEqual([{ sandboxId: "s1", entries: true }]);
    const told: InspectionEvent[] = [
      ...DETAIL.history.map((entry) => ({ type: "entry" as const, sandboxId: "s1", entry })),
      { type: "forgotten", sandboxId: "s2" },
    ];
    for (const event of told) inspection.events.next(event);
    inspection.events.complete();
    await vi.waitFor(() => expect(ends).toEqual(["complete"]));
    expect(events).toEqual([
      { type: "reset" },
      { type: "summary", summary: BARE },
      { type: "summary", summary: SUMMARY },
      ...told,
    ]);
  });

  it("watches all if no sandbox is named", async () => {
    const { client, inspection } = await serve();
    listen(client.watch({ entries: false }));
    await vi.waitFor(() => expect(inspection.watched).toEqual([{ entries: false }]));
  });

  it("leaves the port when the watcher leaves", async () => {
    const { client, inspection } = await serve();
    const watcher = listen(client.watch({ entries: false }));
    await vi.waitFor(() => expect(watcher.events).toHaveLength(3));
    watcher.leave();
    await vi.waitFor(() => expect(inspection.left).toBe(1));
    expect(watcher.ends).toEqual([]);
  });

  it("leaves the port when the watcher's client is closed", async () => {
    const { client, inspection } = await serve();
    const watcher = listen(client.watch({ entries: false }));
    await vi.waitFor(() => expect(watcher.events).toHaveLength(3));
    client.close();
    await vi.waitFor(() => expect(inspection.left).toBe(1));
  });

  it("tells a reader that was too slow to begin anew", async () => {
    const { client, inspection } = await serve();
    const watcher = listen(client.watch({ entries: true }));
    await vi.waitFor(() => expect(watcher.events).toHaveLength(3));
    const entry = { id: 1, kind: "note", at: 1, name: "x".repeat(1024) } as const;
    // more than the socket and the queue take, in one turn of the event loop
    for (let count = 0; count < 20_000; count++)
      inspection.events.next({ type: "entry", sandboxId: "s1", entry });
    await vi.waitFor(() =>
      expect(watcher.events.filter(({ type }) => type === "reset").length).toBeGreaterThan(1),
    );
    expect(watcher.events.length).toBeLessThan(10_000);
    await vi.waitFor(() => expect(watcher.events.at(-1)).toEqual({ type: "summary", summary: SUMMARY }));
    expect(inspection.left).toBe(1);
    inspection.events.next({ type: "forgotten", sandboxId: "s9" });
    await vi.waitFor(() => expect(watcher.events.at(-1)).toEqual({ type: "forgotten", sandboxId: "s9" }));
  });

  it("fails with the daemon, so that the watcher can come again", async () => {
    const { client, server } = await serve();
    const { events, ends } = listen(client.watch({ entries: false }));
    await vi.waitFor(() => expect(events).toHaveLength(3));
    await server.close();
    await vi.waitFor(() => expect(ends).toHaveLength(1));
    expect(ends[0]).toMatchObject({ kind: "unavailable" });
  });
});

describe("what may be asked at once", () => {
  it("has a bound for streams, beyond which one is refused in words", async () => {
    const { client, inspection } = await serve();
    const watchers = Array.from({ length: 64 }, () => listen(client.watch({ entries: true })));
    await vi.waitFor(() => expect(inspection.watched).toHaveLength(64));
    for (const refused of [
      listen(client.watch({ entries: true })),
      listen(client.logs("s1", "vmm", { tailBytes: 1, follow: true })),
    ]) {
      await vi.waitFor(() => expect(refused.ends).toHaveLength(1));
      expect(refused.ends[0]).toMatchObject({
        code: "ResourceExhausted",
        message: expect.stringContaining("64 watchers, logs and execs already"),
      });
    }
    // who only asks is not kept out
    expect(await client.list()).toHaveLength(2);
    watchers[0]?.leave();
    await vi.waitFor(() => expect(inspection.left).toBe(1));
    const next = listen(client.watch({ entries: true }));
    await vi.waitFor(() => expect(next.events).toHaveLength(3));
  });

  it("has room again whenever an answer is taken", async () => {
    const { client } = await serve();
    for (let round = 0; round < 5; round++) {
      const answers = await Promise.all(Array.from({ length: 100 }, () => client.list()));
      expect(answers.at(-1)).toHaveLength(2);
    }
  });

  it("has a bound for questions that ask others, until they are answered", async () => {
    const { client, inspection } = await serve();
    let answer = (): void => undefined;
    const open = new Promise<void>((resolve) => {
      answer = resolve;
    });
    const usage = inspection.usage.bind(inspection);
    let asking = 0;
    inspection.usage = async (ids) => {
      asking += 1;
      await open;
      return await usage(ids);
    };
    const pending = Array.from({ length: 8 }, () => client.usage([]));
    await vi.waitFor(() => expect(asking).toBe(8));
    await expect(client.usage([])).rejects.toMatchObject({ code: "ResourceExhausted" });
    answer();
    await Promise.all(pending);
    await vi.waitFor(async () => expect(await client.usage([])).toHaveLength(2));
  });

  it("has a bound for connections, and one that is left makes room", async () => {
    const warnings: unknown[] = [];
    const logger = { ...silentLogger, warn: (...about: unknown[]) => void warnings.push(about) };
    const { path, client } = await serve({ logger });
    const held = Array.from({ length: 128 }, () => connect(path));
    onTestFinished(() => {
      for (const socket of held) socket.destroy();
    });
    await Promise.all(held.map((socket) => new Promise((resolve) => socket.once("connect", resolve))));
    await expect(client.list()).rejects.toMatchObject({ kind: "unavailable" });
    expect(warnings).toHaveLength(1);
    for (const socket of held) socket.destroy();
    await vi.waitFor(async () => expect(await client.list()).toHaveLength(2));
  });
});

describe("Logs", () => {
  it("passes on bytes of any length, and the end", async () => {
    const { client, inspection } = await serve();
    const { events, ends } = listen(client.logs("s1", "vmm", { tailBytes: 10, follow: true }));
    await vi.waitFor(() => expect(inspection.asked).toHaveLength(1));
    expect(inspection.asked).toEqual([{ id: "s1", log: "vmm", tailBytes: 10, follow: true }]);
    const bytes = Buffer.alloc(300_000, "é");
    inspection.log.next(bytes);
    inspection.log.complete();
    await vi.waitFor(() => expect(ends).toEqual(["complete"]));
    expect(Buffer.concat(events).equals(bytes)).toBe(true);
  });

  it("says where a slow reader has missed something", async () => {
    const { client, inspection } = await serve();
    const { events } = listen(client.logs("s1", "vmm", { tailBytes: 0, follow: true }));
    await vi.waitFor(() => expect(inspection.asked).toHaveLength(1));
    for (let count = 0; count < 300; count++) inspection.log.next(Buffer.alloc(65_536, "x"));
    await vi.waitFor(() =>
      expect(Buffer.concat(events).toString()).toContain("came faster than it was read"),
    );
  });

  it("refuses a log that there is not", async () => {
    const { client } = await serve();
    const { ends } = listen(client.logs("s1", "shell" as "vmm", { tailBytes: 0, follow: false }));
    await vi.waitFor(() => expect(ends).toHaveLength(1));
    expect(ends[0]).toMatchObject({
      code: "InvalidArgument",
      message: expect.stringContaining("vmm, console"),
    });
  });
});

describe("HTTP on the inspection socket", () => {
  const pages = {
    "/metrics": async () => ({ contentType: "text/plain; version=0.0.4", text: "blazar_up 1\n" }),
    "/broken": () => Promise.reject(new Error("no figures")),
  };

  it("serves pages beside gRPC", async () => {
    const { path, client } = await serve({ pages });
    expect(await get(path, "/metrics")).toEqual({
      status: 200,
      type: "text/plain; version=0.0.4",
      text: "blazar_up 1\n",
    });
    expect(await client.list()).toHaveLength(2);
  });

  it("answers what it does not have, and what fails, by a status", async () => {
    const { path } = await serve({ pages });
    expect(await get(path, "/other")).toMatchObject({ status: 404 });
    expect(await get(path, "/metrics", "POST")).toMatchObject({ status: 405 });
    expect(await get(path, "/broken")).toMatchObject({ status: 500, text: "no figures\n" });
  });

  it("waits for more of a peer that has sent one byte and then nothing", async () => {
    const { path, client } = await serve({ pages });
    const silent = connect(path);
    onTestFinished(() => void silent.destroy());
    silent.write("P");
    // an event loop that is kept busy would never come here
    expect(await client.list()).toHaveLength(2);
  });

  it.each([...["http://[bad", "//[", "/%%%", "*", "http://localhost/metrics", "/constructor", "/metrics/"]])(
    "refuses %s, and goes on",
    async (target) => {
      const { path, client } = await serve({ pages });
      const odd = connect(path);
      onTestFinished(() => void odd.destroy());
      let answer = "";
      odd.on("data", (chunk) => {
        answer += chunk.toString();
      });
      odd.write(`GET ${target} HTTP/1.1\r\nHost: x\r\n\r\n`);
      await vi.waitFor(() => expect(answer).toMatch(/^HTTP\/1.1 40[04] /));
      expect(await client.list()).toHaveLength(2);
      expect(await get(path, "/metrics?x=1")).toMatchObject({ status: 200 });
    },
  );

  it("survives a peer that sends garbage, or one byte at a time", async () => {
    const { path, client } = await serve({ pages });
    const garbage = connect(path);
    onTestFinished(() => void garbage.destroy());
    garbage.on("error", () => undefined);
    garbage.write(Buffer.from("PRI but not HTTP/2\r\n\r\n\0\xff"));
    const slow = connect(path);
    onTestFinished(() => void slow.destroy());
    let answer = "";
    slow.on("data", (chunk) => {
      answer += chunk.toString();
    });
    for (const byte of "GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n") {
      slow.write(byte);
      await setImmediate();
    }
    await vi.waitFor(() => expect(answer).toContain("blazar_up 1"));
    expect(await client.list()).toHaveLength(2);
  });
});
