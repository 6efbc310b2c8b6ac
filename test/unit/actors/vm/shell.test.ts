/** Processes in a guest itself: over the daemon's port, and over the inspection socket with its own client. */
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { describe, expect, it, onTestFinished, vi } from "vitest";
import { SandboxLooks } from "../../../../src/actors/sandbox/looks.ts";
import { exec, type Streams } from "../../../../src/console/exec/exec.ts";
import type { ShellListener } from "../../../../src/contracts/guest-shell.ts";
import type { Inspection } from "../../../../src/contracts/inspection.ts";
import { silentLogger } from "../../../../src/contracts/logger.ts";
import { GUEST_ITSELF } from "../../../../src/protocol/guest/messages.ts";
import { InspectionClient } from "../../../../src/rpc/inspection/client.ts";
import { createExecHandler } from "../../../../src/rpc/inspection/exec.ts";
import { InspectionServer } from "../../../../src/rpc/inspection/server.ts";
import type { FakeGuest, FakeGuestOptions } from "../../../support/fake-guest/guest.ts";
import type { FakeProcess } from "../../../support/fake-guest/process.ts";
import { MemoryHost } from "../../../support/memory-host/host.ts";
import { podSpec } from "../../../support/memory-host/pods.ts";
import { temporaryDirectory } from "../../../support/temporary-directory.ts";

async function runningPod(options: FakeGuestOptions = {}) {
  const memory = new MemoryHost({ guest: () => options });
  const { sandboxes } = memory.actors();
  await sandboxes.create(podSpec("pod"));
  await sandboxes.start("pod");
  const { guest } = memory.driver.vm("pod");
  const troubles = new Map<number, string>();
  const processTrouble = async (pid: number) => troubles.get(pid);
  return {
    memory,
    sandboxes,
    guest,
    troubles,
    looks: new SandboxLooks(sandboxes, { now: Date.now, processTrouble }),
  };
}

/** Remembers what it is told. */
class Told implements ShellListener {
  text = "";
  errors = "";
  rooms = 0;
  readonly ends: unknown[] = [];
  readonly waiting: (() => void)[] = [];

  constructor(private readonly consumes = true) {}

  output(stream: "stdout" | "stderr", bytes: Uint8Array, consumed: () => void): void {
    const text = Buffer.from(bytes).toString();
    if (stream === "stdout") this.text += text;
    else this.errors += text;
    if (this.consumes) consumed();
    else this.waiting.push(consumed);
  }

  room(): void {
    this.rooms += 1;
  }

  ended(status: number): void {
    this.ends.push(status);
  }

  failed(error: unknown): void {
    this.ends.push(error);
  }
}

function shellIn(guest: FakeGuest): FakeProcess {
  const [shell] = guest.shells.values();
  if (shell === undefined) throw new Error("there is no shell");
  return shell;
}

describe("a process in the guest itself", () => {
  it("is a shell unless told otherwise, and its output and end are told", async () => {
    const { looks, guest } = await runningPod({
      script: () => ({ stdout: "out", stderr: "err", exit: 3 }),
    });
    const told = new Told();
    await looks.openShell("pod", { command: [] }, told);
    await vi.waitFor(() => expect(told.ends).toEqual([3]));
    expect(told).toMatchObject({ text: "out", errors: "err" });
    expect(guest.requests.find(({ op }) => op === "process.exec")?.params).toMatchObject({
      id: GUEST_ITSELF,
      process: { args: ["sh"], terminal: false },
    });
    await vi.waitFor(() => expect(guest.shells.size).toBe(0));
  });

  it("is no part of the pod's history", async () => {
    const { looks, memory } = await runningPod({ script: () => ({ exit: 0 }) });
    const before = memory.histories.find("pod")?.entries.all.length;
    const told = new Told();
    await looks.openShell("pod", { command: ["ps"] }, told);
    await vi.waitFor(() => expect(told.ends).toEqual([0]));
    expect(before).toBeGreaterThan(0);
    expect(memory.histories.find("pod")?.entries.all.length).toBe(before);
  });

  it("has a terminal whose size can change, and input", async () => {
    const { looks, guest } = await runningPod({ script: () => ({ echo: true }) });
    const told = new Told();
    const shell = await looks.openShell(
      "pod",
      { command: ["vi"], terminal: { rows: 10, columns: 20 } },
      told,
    );
    expect(shell.input(Buffer.from("hello"))).toBe(true);
    await vi.waitFor(() => expect(told.text).toBe("hello"));
    shell.resize(30, 40);
    await vi.waitFor(() => expect(shellIn(guest).size).toEqual({ rows: 30, columns: 40 }));
    shell.close();
    await vi.waitFor(() => expect(guest.shells.size).toBe(0));
    expect(told.ends).toEqual([]);
  });

  it("sends no more than what is consumed lets it", async () => {
    const { looks, guest } = await runningPod();
    const told = new Told(false);
    const shell = await looks.openShell("pod", { command: ["yes"] }, told);
    shellIn(guest).write("stdout", Buffer.alloc(1 << 20, "y\n"));
    await vi.waitFor(() => expect(told.text.length).toBe(64 * 1024));
    for (let round = 0; told.text.length < 1 << 20 && round < 100; round++) {
      for (const consumed of told.waiting.splice(0)) consumed();
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(told.text.length).toBe(1 << 20);
    shell.close();
  });

  it("says when input has to wait, and when there is room again", async () => {
    const { looks, guest } = await runningPod();
    const told = new Told();
    const shell = await looks.openShell("pod", { command: ["cat"] }, told);
    expect(shell.input(Buffer.alloc(256 * 1024))).toBe(false);
    await vi.waitFor(() => expect(told.rooms).toBeGreaterThan(0));
    shell.endInput();
    const bytes = () => shellIn(guest).input.reduce((sum, { length }) => sum + length, 0);
    await vi.waitFor(() => expect(bytes()).toBe(256 * 1024));
    shell.close();
  });

  it("is lost with its VM, and leaves nothing", async () => {
    const { looks, memory, sandboxes } = await runningPod();
    const told = new Told();
    await looks.openShell("pod", { command: [] }, told);
    memory.driver.vm("pod").die(-1, 9);
    await vi.waitFor(() => expect(told.ends).toMatchObject([{ code: "GuestLost" }]));
    await sandboxes.shutdown("pod");
    expect(memory.remains()).toEqual([]);
    await expect(looks.openShell("pod", { command: [] }, told)).rejects.toMatchObject({
      code: "SandboxNotFound",
    });
  });

  it("is refused at once where the VMM is halted, with what says more without its guest", async () => {
    const { sandboxes, looks, guest, troubles } = await runningPod();
    const { pid } = sandboxes.status("pod");
    troubles.set(pid, "is stopped by a signal (state T)");
    await expect(looks.openShell("pod", { command: [] }, new Told())).rejects.toThrow(
      `cannot run a process in the guest itself (sandbox pod): its VMM (pid ${pid}) is stopped by a signal (state T); ` +
        `"blazar why pod" and "blazar logs --console pod" need no guest`,
    );
    expect(guest.shells.size).toBe(0);
    troubles.clear();
    await looks.openShell("pod", { command: [] }, new Told());
    expect(guest.shells.size).toBe(1);
  });

  it("is not ended by what a guest says of other processes, nor told twice", async () => {
    const { looks, guest } = await runningPod();
    const told = new Told();
    await looks.openShell("pod", { command: [] }, told);
    const exit = { id: GUEST_ITSELF, status: 9, returned: [] };
    guest.emit("process.exited", { ...exit, execId: "another" });
    guest.emit("process.exited", { ...exit, id: "c1", execId: [...guest.shells.keys()][0] });
    shellIn(guest).write("stdout", "still here");
    await vi.waitFor(() => expect(told.text).toBe("still here"));
    expect(told.ends).toEqual([]);
    shellIn(guest).exit(4);
    await vi.waitFor(() => expect(told.ends).toEqual([4]));
  });

  it("closes the link of a guest that sends more than it may, and of no other", async () => {
    const { looks, guest } = await runningPod();
    const told = new Told(false);
    await looks.openShell("pod", { command: [] }, told);
    const stream = told.text.length + 3;
    guest.sendRaw(Buffer.from([0, 0, 0, 3]));
    guest.emit("process.exited", { id: GUEST_ITSELF, execId: stream, status: "nine", returned: [] });
    await vi.waitFor(() => expect(told.ends).toHaveLength(1));
    expect(told.ends[0]).toMatchObject({ name: "BlazarError" });
  });
});

describe("blazar exec", () => {
  async function connected(options: FakeGuestOptions) {
    const { looks, guest, ...more } = await runningPod(options);
    const path = join(await temporaryDirectory(), "inspection.sock");
    const inspection = {} as Inspection;
    const server = new InspectionServer({ inspection, logger: silentLogger, exec: createExecHandler(looks) });
    await server.listen(path);
    onTestFinished(() => server.close());
    const client = new InspectionClient(path);
    onTestFinished(() => client.close());
    return { client, guest, ...more };
  }

  function streams(isTTY: boolean) {
    const [stdin, stdout, stderr] = [new PassThrough(), new PassThrough(), new PassThrough()];
    const text = { stdout: "", stderr: "" };
    stdout.on("data", (bytes: Buffer) => {
      text.stdout += bytes.toString("latin1");
    });
    stderr.on("data", (bytes: Buffer) => {
      text.stderr += bytes.toString("latin1");
    });
    const size = { rows: 11, columns: 22, isTTY };
    const rawModes: boolean[] = [];
    const terminal = { isTTY, setRawMode: (on: boolean) => rawModes.push(on) };
    const given = {
      stdin: Object.assign(stdin, terminal),
      stdout: Object.assign(stdout, size),
      stderr: Object.assign(stderr, { isTTY }),
    } as unknown as Streams;
    return { given, stdin, stdout, size, text, rawModes };
  }

  const VIEW = { id: "pod", command: ["sh"], interactive: false, terminal: false } as const;

  it("ends with the command's status and passes its output on", async () => {
    const { client } = await connected({ script: () => ({ stdout: "o\u001b[2J", stderr: "e", exit: 5 }) });
    const { given, text } = streams(false);
    expect(await exec(client, VIEW, given)).toBe(5);
    expect(text).toEqual({ stdout: "o\u001b[2J", stderr: "e" });
  });

  it("makes output harmless where somebody looks at it", async () => {
    const { client } = await connected({ script: () => ({ stdout: "o\u001b[2J\n", exit: 0 }) });
    const { given, text } = streams(true);
    expect(await exec(client, VIEW, given)).toBe(0);
    expect(text.stdout).toBe("o\\x1b[2J\n");
  });

  it("is a terminal's: raw input, sizes, and output as it is", async () => {
    const { client, guest } = await connected({ script: () => ({ stdout: "\u001b[1m$ ", echo: true }) });
    const { given, stdin, stdout, size, text, rawModes } = streams(true);
    const running = exec(client, { ...VIEW, interactive: true, terminal: true }, given);
    await vi.waitFor(() => expect(text.stdout).toBe("\u001b[1m$ "));
    expect(shellIn(guest).size).toEqual({ rows: 11, columns: 22 });
    stdin.write("ls\r");
    await vi.waitFor(() => expect(text.stdout).toContain("ls\r"));
    Object.assign(stdout, { ...size, rows: 50 });
    stdout.emit("resize");
    await vi.waitFor(() => expect(shellIn(guest).size).toEqual({ rows: 50, columns: 22 }));
    shellIn(guest).exit(0);
    expect(await running).toBe(0);
    expect(rawModes).toEqual([true, false]);
  });

  it("passes a megabyte through, and the end of input", async () => {
    const { client } = await connected({ script: () => ({ echo: true, untilEndOfInput: true }) });
    const { given, stdin, text } = streams(false);
    const running = exec(client, { ...VIEW, interactive: true }, given);
    const bulk = Buffer.alloc(1 << 20, "0123456789abcde\n");
    stdin.end(bulk);
    expect(await running).toBe(0);
    expect(text.stdout.length).toBe(bulk.length);
  });

  it("ends its process when the client goes away", async () => {
    const { client, guest } = await connected({});
    const call = client.exec();
    call.on("error", () => undefined);
    call.write({ start: { id: "pod", command: [], terminal: false, rows: 0, columns: 0 } });
    await vi.waitFor(() => expect(guest.shells.size).toBe(1));
    call.cancel();
    await vi.waitFor(() => expect(guest.shells.size).toBe(0));
  });

  it("says what the daemon says of a command that cannot be run", async () => {
    const { client } = await connected({});
    const { given } = streams(false);
    await expect(exec(client, { ...VIEW, id: "nobody" }, given)).rejects.toMatchObject({
      kind: "notFound",
      details: { reason: "no such sandbox" },
    });
  });
});
