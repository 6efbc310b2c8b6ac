/** The QMP client against a server that behaves, and against one that does not. */
import { open } from "node:fs/promises";
import { setImmediate } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { deferred } from "../../../src/lib/async.ts";
import { checkUnixPath } from "../../../src/lib/sockets/unix-socket.ts";
import { QmpClient, type QmpEvent, qmpRefusal } from "../../../src/vmm/qemu/qmp/client.ts";
import { MAX_QMP_LINE_BYTES, QmpLines } from "../../../src/vmm/qemu/qmp/lines.ts";
import { ReadBudget } from "../../../src/vmm/qemu/qmp/read-budget.ts";
import { FakeQmp } from "../../support/fake-vmm/qmp.ts";
import { inlineFileSender as sendFile } from "../../support/inline-file-sender.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";

const NEVER = new AbortController().signal;

let server: FakeQmp;
beforeEach(async () => {
  server = new FakeQmp(await temporaryDirectory());
});
afterEach(async () => {
  await server[Symbol.asyncDispose]();
});

async function connected(): Promise<QmpClient> {
  await server.listen();
  return QmpClient.connect(server.path, NEVER, sendFile);
}

describe("connecting", () => {
  it("waits until somebody listens, then negotiates", async () => {
    const connecting = QmpClient.connect(server.path, NEVER, sendFile);
    await setImmediate();
    await server.listen();
    const client = await connecting;
    expect(server.commands.map(({ execute }) => execute)).toEqual(["qmp_capabilities"]);
    client.close();
  });

  it("is called off while nobody listens", async () => {
    const abort = new AbortController();
    const connecting = QmpClient.connect(server.path, abort.signal, sendFile);
    await setImmediate();
    abort.abort();
    await expect(connecting).rejects.toMatchObject({ code: "Cancelled" });
  });

  it("is called off while the server does not greet, and lets go of the socket", async () => {
    server.greeting = "";
    await server.listen();
    const abort = new AbortController();
    const connecting = QmpClient.connect(server.path, abort.signal, sendFile);
    while (server.connection === undefined) await setImmediate();
    const gone = new Promise((resolve) => server.connection?.once("close", resolve));
    server.connection.resume();
    abort.abort();
    await expect(connecting).rejects.toMatchObject({ code: "Cancelled" });
    await gone;
  });

  it("fails if the server greets with something else, or refuses the negotiation", async () => {
    server.greeting = '{"hello": 1}\n';
    await server.listen();
    await expect(QmpClient.connect(server.path, NEVER, sendFile)).rejects.toMatchObject({
      code: "QmpFailed",
    });
    server.greeting = '{"QMP": {}}\n';
    server.answer = ({ id }) => ({ error: { class: "CommandNotFound", desc: "no" }, id });
    await expect(QmpClient.connect(server.path, NEVER, sendFile)).rejects.toMatchObject({
      code: "QmpFailed",
    });
  });

  it("fails if the server hangs up before it greets", async () => {
    server.greeting = "";
    await server.listen();
    const connecting = QmpClient.connect(server.path, NEVER, sendFile);
    while (server.connection === undefined) await setImmediate();
    server.connection.destroy();
    await expect(connecting).rejects.toMatchObject({ code: "QmpFailed" });
  });
});

describe("commands", () => {
  it("are answered by id, in whatever order", async () => {
    const client = await connected();
    server.answer = () => undefined;
    const [first, second] = [client.execute("one"), client.execute("two", { a: 1 })];
    while (server.commands.length < 3) await setImmediate();
    const [, one, two] = server.commands;
    expect(two).toMatchObject({ execute: "two", arguments: { a: 1 } });
    server.say({ return: 2, id: two?.id }, { return: 1, id: one?.id });
    expect(await Promise.all([first, second])).toEqual([1, 2]);
    client.close();
  });

  it("that QEMU refuses say why", async () => {
    const client = await connected();
    server.answer = ({ id }) => ({ error: { class: "DeviceNotFound", desc: "Device 'x' not found" }, id });
    const error: unknown = await client.execute("device_del").catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: "QmpFailed" });
    expect(String(error)).toContain("Device 'x' not found");
    expect(qmpRefusal(error)).toEqual({ class: "DeviceNotFound", description: "Device 'x' not found" });
    client.close();
  });

  it("of a dead daemon, which QEMU answers to whoever is connected then, are nobody's", async () => {
    const client = await connected();
    server.answer = () => undefined;
    const open = client.execute("mine");
    while (server.commands.length < 2) await setImmediate();
    const own = Number(server.commands.at(-1)?.id);
    for (const late of [1, 2, own - 1000, own + 2 ** 40]) server.say({ return: "late", id: late });
    server.say({ return: "mine", id: own });
    expect(await open).toBe("mine");
    client.close();
  });

  it("have ids of their own in each connection", async () => {
    const client = await connected();
    const next = await QmpClient.connect(server.path, NEVER, sendFile);
    const [first, second] = server.commands.map(({ id }) => Number(id));
    expect(Math.abs((first ?? 0) - (second ?? 0))).toBeGreaterThan(1000);
    client.close();
    next.close();
  });

  it("end at their deadline, and a late answer harms nobody", async () => {
    const client = await connected();
    server.answer = () => undefined;
    await expect(client.execute("slow", undefined, 5)).rejects.toMatchObject({ code: "DeadlineExceeded" });
    server.say({ return: {}, id: server.commands.at(-1)?.id });
    server.answer = ({ id }) => ({ return: "fine", id });
    expect(await client.execute("next", undefined, 5000)).toBe("fine");
    client.close();
  });

  it("fail when the connection ends, and so do later ones", async () => {
    const client = await connected();
    server.answer = () => undefined;
    const open = client.execute("one");
    server.connection?.destroy();
    await expect(open).rejects.toMatchObject({ code: "QmpFailed" });
    await expect(client.execute("two")).rejects.toMatchObject({ code: "QmpFailed" });
    expect(qmpRefusal(await client.closed)).toBeUndefined();
  });

  it("are bounded in number", async () => {
    const client = await connected();
    server.answer = () => undefined;
    const open = Array.from({ length: 256 }, () => client.execute("x").catch(() => undefined));
    await expect(client.execute("one too many")).rejects.toMatchObject({ code: "QmpFailed" });
    client.close();
    await Promise.all(open);
  });
});

describe("files", () => {
  it("go out with their commands, in one piece, while other commands wait", async () => {
    await server.listen();
    const sending = deferred<void>();
    const client = await QmpClient.connect(server.path, NEVER, async (message) => {
      await sending.promise;
      return sendFile(message);
    });
    const answers = client.executeWithFile(
      { kind: "file", path: "/dev/null", flags: 0 },
      [{ command: "add-fd", args: { "fdset-id": 1 } }, { command: "next" }],
      5000,
    );
    await setImmediate();
    const later = client.execute("later");
    await setImmediate();
    expect(server.commands).toHaveLength(1);
    sending.resolve();
    expect(await answers).toEqual([{}, {}]);
    await later;
    const names = server.commands.map(({ execute }) => execute);
    expect(names).toEqual(["qmp_capabilities", "add-fd", "next", "later"]);
    client.close();
  });

  it("go out one after the other: QEMU keeps one for the next command that takes it", async () => {
    const client = await connected();
    server.answer = () => undefined;
    const file = { kind: "file", path: "/dev/null", flags: 0 } as const;
    const both = ["first", "second"].map((command) => client.executeWithFile(file, [{ command }], 5000));
    while (server.commands.length < 2) await setImmediate();
    for (let pass = 0; pass < 20; pass++) await setImmediate();
    expect(server.commands.map(({ execute }) => execute)).toEqual(["qmp_capabilities", "first"]);
    server.answer = ({ id }) => ({ return: id, id });
    server.say({ return: {}, id: server.commands[1]?.id });
    await Promise.all(both);
    client.close();
  });

  it("that cannot be opened fail their commands only", async () => {
    const client = await connected();
    const missing = { kind: "file", path: "/nowhere/disk", flags: 0 } as const;
    await expect(client.executeWithFile(missing, [{ command: "add-fd" }], 5000)).rejects.toMatchObject({
      code: "StorageFailed",
    });
    const nobody = { kind: "connection", path: "/nowhere/socket" } as const;
    await expect(client.executeWithFile(nobody, [{ command: "getfd" }], 5000)).rejects.toMatchObject({
      code: "StorageFailed",
    });
    expect(await client.execute("next")).toEqual({});
    client.close();
  });

  it("are not sent to whoever has the number of a socket that was closed", async () => {
    const client = await connected();
    const other = await open("/dev/null");
    await using _ = { [Symbol.asyncDispose]: () => other.close() };
    const message = { file: { kind: "file", path: "/dev/null", flags: 0 }, text: "x" } as const;
    await expect(sendFile({ ...message, socket: { fd: other.fd, inode: -1 } })).rejects.toMatchObject({
      code: "LinkClosed",
    });
    client.close();
    const late = client.executeWithFile(message.file, [{ command: "add-fd" }], 5000);
    await expect(late).rejects.toMatchObject({ code: "QmpFailed" });
  });
});

describe("events", () => {
  it("come in order, those before the first subscriber included, and complete at the end", async () => {
    await server.listen();
    server.answer = ({ id }) => {
      server.say({ event: "EARLY", timestamp: {} });
      return { return: {}, id };
    };
    const client = await QmpClient.connect(server.path, NEVER, sendFile);
    const events: QmpEvent[] = [];
    const completed = new Promise<void>((resolve) => {
      client.events$.subscribe({ next: (event) => events.push(event), complete: resolve });
    });
    server.say({ event: "STOP" }, { event: "SHUTDOWN", data: { guest: true } });
    server.connection?.end();
    await completed;
    expect(events).toEqual([
      { event: "EARLY", data: {} },
      { event: "STOP", data: {} },
      { event: "SHUTDOWN", data: { guest: true } },
    ]);
  });

  it("that nobody takes are bounded", async () => {
    const client = await connected();
    server.say(...Array.from({ length: 300 }, () => ({ event: "X" })));
    expect(await client.closed).toMatchObject({ code: "QmpFailed" });
  });
});

describe("a flood of events", () => {
  it("is read at a bounded rate after the first megabytes, and nothing of it is lost", async () => {
    const client = await connected();
    const reason = "x".repeat(50_000);
    const seen = new Map<string, number>();
    client.events$.subscribe(({ event }) => void seen.set(event, (seen.get(event) ?? 0) + 1));
    const began = performance.now();
    for (let index = 0; index < 100; index++) server.say({ event: "BLOCK_IO_ERROR", data: { reason } });
    server.say({ event: "STOP" });
    await expect.poll(() => seen.get("STOP"), { timeout: 8000 }).toBe(1);
    expect(seen.get("BLOCK_IO_ERROR")).toBe(100);
    // 5 MB: the last 0.8 MB have to wait
    expect(performance.now() - began).toBeGreaterThan(500);
    expect(await client.execute("query-status")).toEqual({});
    client.close();
  });

  it("counts reads and not only bytes, which may come one by one", () => {
    const budget = new ReadBudget(() => 0);
    let reads = 0;
    while (budget.take(1) === 0) reads++;
    expect(reads).toBe((4 * 2 ** 20) / 256);
  });

  it("has a budget that fills again while little is said", () => {
    let now = 0;
    const budget = new ReadBudget(() => now);
    expect(budget.take(4 * 2 ** 20)).toBe(0);
    expect(budget.take(2 ** 20)).toBe(1000);
    now += 1000;
    expect(budget.take(0)).toBe(0);
    expect(budget.take(2 ** 19)).toBe(500);
    now += 60_000;
    expect(budget.take(4 * 2 ** 20)).toBe(0);
    expect(budget.take(2 ** 20)).toBeGreaterThan(0);
  });
});

describe("a server that breaks the protocol", () => {
  /** What is sent, by the id of the command that has no answer yet. */
  const violations: [string, (id: number) => string | Uint8Array][] = [
    ["noise", () => new Uint8Array([0xff, 0xfe, 0x00, 10])],
    ["a number", () => "7\n"],
    ["an answer to nothing", (id) => `{"return": {}, "id": ${id + 1000}}\n`],
    ["an answer without an id", () => '{"return": {}}\n'],
    ["an answer that says nothing", (id) => `{"id": ${id}}\n`],
    ["a line without an end", () => "x".repeat(MAX_QMP_LINE_BYTES + 1)],
  ];
  it.each(violations)("is cut off: %s", async (_name, bytes) => {
    const client = await connected();
    server.answer = () => undefined;
    const open = client.execute("one");
    while (server.commands.length < 2) await setImmediate();
    server.raw(bytes(Number(server.commands.at(-1)?.id)));
    await expect(open).rejects.toMatchObject({ code: "QmpFailed" });
    await client.closed;
  });
});

describe("lines", () => {
  it("are the same however the bytes come", () => {
    const bytes = Buffer.from('{"a":1}\r\n\r\n{"b":"ä"}\n');
    for (let size = 1; size <= bytes.length; size++) {
      const [lines, seen] = [new QmpLines(), [] as string[]];
      for (let at = 0; at < bytes.length; at += size) {
        lines.push(bytes.subarray(at, at + size), (line) => seen.push(line));
      }
      expect(seen).toEqual(['{"a":1}', '{"b":"ä"}']);
    }
  });

  it("take no more memory than their bytes, also where these come one by one", () => {
    const lines = new QmpLines();
    const seen: string[] = [];
    const one = Buffer.from("x");
    for (let count = 0; count < MAX_QMP_LINE_BYTES; count++) lines.push(one, (line) => seen.push(line));
    // what is held is a copy in one buffer: the piece is the sender's again
    one.write("y");
    lines.push(Buffer.from("\n"), (line) => seen.push(line));
    expect(seen).toEqual(["x".repeat(MAX_QMP_LINE_BYTES)]);
  });
});

describe("socket paths", () => {
  it("have a limit, which is said with the path", () => {
    expect(() => checkUnixPath(`/${"x".repeat(106)}`)).not.toThrow();
    expect(() => checkUnixPath(`/${"x".repeat(107)}`)).toThrow(/108 bytes.*shorter state directory/);
  });
});
