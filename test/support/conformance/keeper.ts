/**
 * What every {@link Keeper} promises, run against the real one and against the fake.
 *
 * A bench is a keeper with the world around it: containerd's ends of FIFOs and Task connections, and a daemon
 * that can be killed and replaced.
 */

import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type {
  Keeper,
  OutputStream,
  ProcessFork,
  ProcessIdentity,
  ProcessSpawn,
  StartedProcess,
  StdioHandlers,
  StdioPaths,
} from "../../../src/contracts/keeper.ts";
import { DEFAULT_WINDOW_BYTES } from "../../../src/protocol/wire/stream.ts";

/** containerd's end of a Task connection. */
export interface TaskCaller {
  /** Sends one ttrpc message and resolves with the next one that comes back. */
  call(message: Uint8Array): Promise<Uint8Array>;
  close(): void;
}

export interface KeeperBench {
  readonly keeper: Keeper;
  /** The daemon dies without a word; resolves with the keeper as its successor sees it. */
  restartDaemon(): Promise<Keeper>;
  /** Only the death of {@link restartDaemon}: nobody is connected until it is called. */
  killDaemon(): Promise<void>;
  /** Whether it can make taps, as without root it cannot. */
  readonly taps: boolean;
  /** A network namespace, and how something changes in it; undefined without root. */
  network(): { readonly path: string; change(): void } | undefined;
  /** A process that runs until a signal ends it, and can be forked. */
  forkable(id: string): ProcessSpawn;
  /** Makes the FIFOs, as containerd does. */
  fifos(id: string, streams: readonly (keyof StdioPaths)[]): Promise<StdioPaths>;
  /** Reads a FIFO to its end. */
  readToEnd(path: string): Promise<string>;
  write(path: string, text: string): Promise<void>;
  connectTask(): Promise<TaskCaller>;
  dispose(): Promise<void>;
}

/** A process that runs a shell script (the fake knows `exit N` and `sleep N`). */
export function shell(id: string, script: string): ProcessSpawn {
  return {
    id,
    argv: ["/bin/sh", "-c", script],
    env: ["PATH=/usr/bin:/bin"],
    cwd: "/",
    groups: [],
    capabilities: [],
    files: [],
    cgroups: [],
    rlimits: [],
  };
}

/** A fork of a {@link KeeperBench.forkable} process: the same user, no capability, no file of its own, no name. */
export function forkOf(
  original: string,
  id: string,
  words: readonly string[] = ["", "", "0", "", ""],
): ProcessFork {
  return { id, original, words };
}

function identityOf({ pid, startTime }: StartedProcess): ProcessIdentity {
  return { pid, startTime };
}

/** A ttrpc request with `text` as its payload. */
export function ttrpc(text: string, type = 1): Uint8Array {
  const payload = Buffer.from(text);
  const header = Buffer.alloc(10);
  header.writeUInt32BE(payload.length, 0);
  header.writeUInt32BE(1, 4);
  header.writeUInt8(type, 8);
  return Buffer.concat([header, payload]);
}

export function ttrpcText(message: Uint8Array): string {
  return Buffer.from(message.subarray(10)).toString();
}

/** Handlers that remember what they were told. */
export class StdioRecorder implements StdioHandlers {
  readonly acks: Record<OutputStream, { offset: number; window: number }> = {
    stdout: { offset: -1, window: 0 },
    stderr: { offset: -1, window: 0 },
  };
  readonly chunks: { offset: number; text: string }[] = [];
  inputEndedAt: number | undefined;

  acknowledged(stream: OutputStream, offset: number, window: number): void {
    this.acks[stream] = { offset, window };
  }

  input(offset: number, bytes: Uint8Array): void {
    this.chunks.push({ offset, text: Buffer.from(bytes).toString() });
  }

  inputEnd(offset: number): void {
    this.inputEndedAt = offset;
  }

  get text(): string {
    return this.chunks.map(({ text }) => text).join("");
  }

  /** Waits until everything below `offset` has reached the FIFO. */
  async acked(stream: OutputStream, offset: number): Promise<void> {
    await vi.waitFor(() => expect(this.acks[stream].offset).toBe(offset), { timeout: 5_000 });
  }
}

const WINDOW = DEFAULT_WINDOW_BYTES;
const bytes = (text: string): Uint8Array => Buffer.from(text);

export function describeKeeper(name: string, makeBench: () => Promise<KeeperBench>): void {
  describe(`${name} keeps the keeper's promises`, () => {
    let bench: KeeperBench;
    beforeEach(async () => {
      bench = await makeBench();
    });
    afterEach(async () => {
      await bench.dispose();
    });
    describe("processes", () => processPromises(() => bench));
    describe("forks", () => forkPromises(() => bench));
    describe("uplinks", () => uplinkPromises(() => bench));
    describe("output", () => outputPromises(() => bench));
    describe("input", () => inputPromises(() => bench));
    describe("Task messages", () => taskPromises(() => bench));
    describe("networks", () => networkPromises(() => bench));
  });
}

function processPromises(bench: () => KeeperBench): void {
  it("reports a process's exit code", async () => {
    const { keeper } = bench();
    const identity = await keeper.spawn(shell("vm", "exit 7"));
    expect(identity.pid).toBeGreaterThan(1);
    expect(await keeper.exited("vm")).toEqual({ id: "vm", code: 7, signal: 0 });
  });

  it("reports the signal that ended a process", async () => {
    const { keeper } = bench();
    await keeper.spawn(shell("vm", "sleep 60"));
    const exit = keeper.exited("vm");
    await keeper.signal("vm", 15);
    expect(await exit).toEqual({ id: "vm", code: -1, signal: 15 });
  });

  it("tells an unknown process from one that has ended", async () => {
    const { keeper } = bench();
    await keeper.spawn(shell("vm", "exit 0"));
    await keeper.exited("vm");
    await expect(keeper.signal("vm", 15)).rejects.toMatchObject({ code: "ProcessNotRunning" });
    await expect(keeper.signal("other", 15)).rejects.toMatchObject({ code: "ProcessNotFound" });
    await expect(keeper.exited("other")).rejects.toMatchObject({ code: "ProcessNotFound" });
  });

  it("seals a process as often as asked, one without a jail too, and none that has ended", async () => {
    const { keeper } = bench();
    await keeper.spawn(shell("vm", "sleep 60"));
    await keeper.seal("vm");
    await keeper.seal("vm");
    const exit = keeper.exited("vm");
    await keeper.signal("vm", 9);
    await exit;
    await expect(keeper.seal("vm")).rejects.toMatchObject({ code: "ProcessNotRunning" });
    await expect(keeper.seal("other")).rejects.toMatchObject({ code: "ProcessNotFound" });
  });

  it("frees a name by forgetting the ended process, and no sooner", async () => {
    const { keeper } = bench();
    await keeper.spawn(shell("vm", "sleep 60"));
    await expect(keeper.spawn(shell("vm", "exit 0"))).rejects.toMatchObject({ code: "ProcessExists" });
    await expect(keeper.forget("vm")).rejects.toMatchObject({ code: "IllegalTransition" });
    const exit = keeper.exited("vm");
    await keeper.signal("vm", 9);
    await exit;
    await keeper.forget("vm");
    await keeper.forget("vm");
    await keeper.spawn(shell("vm", "exit 4"));
    expect((await keeper.exited("vm")).code).toBe(4);
  });

  it("starts nothing for a caller that has given up", async () => {
    const { keeper } = bench();
    const started = keeper.spawn(shell("vm", "sleep 60"), AbortSignal.abort());
    await expect(started).rejects.toMatchObject({ code: "Cancelled" });
    expect(keeper.inventory().processes).toEqual([]);
  });

  it("leaves nothing of a start that was cancelled on its way", async () => {
    const { keeper } = bench();
    const giveUp = new AbortController();
    const started = keeper.spawn(shell("vm", "sleep 60"), giveUp.signal);
    giveUp.abort();
    await expect(started).rejects.toMatchObject({ code: "Cancelled" });
    await vi.waitFor(async () => {
      const again = await keeper.spawn(shell("vm", "sleep 60"));
      expect(again.pid).toBeGreaterThan(1);
    });
    expect(keeper.inventory().processes).toHaveLength(1);
  });

  it("keeps processes and exits for the next daemon", async () => {
    const { keeper } = bench();
    await keeper.spawn(shell("ended", "exit 5"));
    const running = await keeper.spawn(shell("running", "sleep 60"));
    await keeper.exited("ended");
    const next = await bench().restartDaemon();
    expect((await next.exited("ended")).code).toBe(5);
    expect(next.inventory().processes.find(({ id }) => id === "running")?.identity).toEqual(
      identityOf(running),
    );
    const exit = next.exited("running");
    await next.signal("running", 9);
    expect((await exit).signal).toBe(9);
  });

  it("makes taps for a process, each under a name that no other ever has", async () => {
    if (bench().taps !== true) return;
    const { keeper } = bench();
    const taps = [{ fd: 12 }, { fd: 20 }];
    const vms = [];
    for (const id of ["one", "two"]) {
      vms.push(await keeper.spawn({ ...shell(id, "sleep 60"), taps }));
      await keeper.signal(id, 9);
      await keeper.exited(id);
    }
    expect(vms.map((vm) => vm.taps.length)).toEqual([2, 2]);
    const parked = vms.flatMap((vm) => vm.taps);
    expect(new Set(parked.map(({ name }) => name)).size).toBe(4);
    expect(new Set(parked.map(({ namespace }) => namespace)).size).toBe(1);
    for (const { name } of parked) expect(name.length).toBeLessThan(16);
    expect((await keeper.spawn(shell("none", "sleep 60"))).taps).toEqual([]);
  });

  it("does not end while a process runs", async () => {
    const { keeper } = bench();
    await keeper.spawn(shell("vm", "sleep 60"));
    await expect(keeper.shutdown()).rejects.toMatchObject({ code: "IllegalTransition" });
    expect(keeper.connected).toBe(true);
  });
}

function forkPromises(bench: () => KeeperBench): void {
  it("are processes like others, and go on without their original", async () => {
    const { keeper } = bench();
    const first = await keeper.spawn(bench().forkable("original"));
    const ids = ["one", "two", "three"];
    const forks = await Promise.all(ids.map((id) => keeper.fork(forkOf("original", id))));
    expect(new Set([first, ...forks].map(({ pid }) => pid)).size).toBe(4);
    await keeper.signal("two", 9);
    expect(await keeper.exited("two")).toEqual({ id: "two", code: -1, signal: 9 });
    await keeper.signal("original", 9);
    await keeper.exited("original");
    await keeper.signal("one", 15);
    expect(await keeper.exited("one")).toMatchObject({ signal: 15 });
  });

  it("are refused of what is unknown, cannot fork or has ended, and under a name that is taken", async () => {
    const { keeper } = bench();
    await expect(keeper.fork(forkOf("nobody", "fork"))).rejects.toMatchObject({ code: "ProcessNotFound" });
    await keeper.spawn(shell("plain", "sleep 60"));
    await expect(keeper.fork(forkOf("plain", "fork"))).rejects.toMatchObject({ code: "ProcessNotRunning" });
    await expect(keeper.fork(forkOf("plain", "plain"))).rejects.toMatchObject({ code: "ProcessExists" });
    await keeper.spawn(bench().forkable("original"));
    await keeper.signal("original", 9);
    await keeper.exited("original");
    await expect(keeper.fork(forkOf("original", "late"))).rejects.toMatchObject({
      code: "ProcessNotRunning",
    });
    expect(keeper.inventory().processes.map(({ id }) => id)).toEqual(["plain", "original"]);
  });

  it("are not made for a caller that has given up", async () => {
    const { keeper } = bench();
    await keeper.spawn(bench().forkable("original"));
    const forked = keeper.fork(forkOf("original", "fork"), AbortSignal.abort());
    await expect(forked).rejects.toMatchObject({ code: "Cancelled" });
    expect(keeper.inventory().processes.map(({ id }) => id)).toEqual(["original"]);
  });

  it("leave nothing when they are cancelled on their way", async () => {
    const { keeper } = bench();
    await keeper.spawn(bench().forkable("original"));
    const giveUp = new AbortController();
    const forked = keeper.fork(forkOf("original", "fork"), giveUp.signal);
    giveUp.abort();
    await expect(forked).rejects.toMatchObject({ code: "Cancelled" });
    await vi.waitFor(async () => {
      const again = await keeper.fork(forkOf("original", "fork"));
      expect(again.pid).toBeGreaterThan(1);
    });
    expect(keeper.inventory().processes).toHaveLength(2);
  });

  it("have taps of their own in the places of their original's", async () => {
    if (bench().taps !== true) return;
    const { keeper } = bench();
    const original = await keeper.spawn({ ...bench().forkable("original"), taps: [{ fd: 20 }] });
    const words = ["", "", "0", "", "", "tap:20"];
    const forks = ["one", "two"].map((id) => keeper.fork({ ...forkOf("original", id, words), taps: 1 }));
    const parked = [original, ...(await Promise.all(forks))].flatMap(({ taps }) => taps);
    expect(new Set(parked.map(({ name }) => name)).size).toBe(3);
  });

  it("are there for the next daemon", async () => {
    await bench().keeper.spawn(bench().forkable("original"));
    const forked = await bench().keeper.fork(forkOf("original", "fork"));
    const next = await bench().restartDaemon();
    expect(next.inventory().processes.find(({ id }) => id === "fork")?.identity).toEqual(identityOf(forked));
    await next.signal("fork", 9);
    expect((await next.exited("fork")).signal).toBe(9);
  });
}

function uplinkPromises(bench: () => KeeperBench): void {
  const spec = (id: string) => ({ id, uid: 61_300, gid: 61_300, tap: "eth0" });

  it("have a namespace each, until they are dropped, also by another daemon", async () => {
    if (!bench().taps) return;
    const { keeper } = bench();
    const [first, second] = [await keeper.makeUplink(spec("one")), await keeper.makeUplink(spec("two"))];
    expect(first).not.toBe(second);
    await expect(keeper.makeUplink(spec("one"))).rejects.toMatchObject({ code: "IllegalTransition" });
    const later = await bench().restartDaemon();
    await later.dropUplink("one");
    await later.dropUplink("one");
    await later.dropUplink("never made");
    await later.makeUplink(spec("one"));
  });
}

function outputPromises(bench: () => KeeperBench): void {
  it("delivers each stream in order, then its end", async () => {
    const paths = await bench().fifos("c", ["stdout", "stderr"]);
    const recorder = new StdioRecorder();
    const stdio = await bench().keeper.openStdio("c", paths, recorder);
    const read = Promise.all([bench().readToEnd(paths.stdout), bench().readToEnd(paths.stderr)]);
    await recorder.acked("stdout", 0);
    await recorder.acked("stderr", 0);
    stdio.data("stdout", 0, bytes("one "));
    stdio.data("stderr", 0, bytes("oops"));
    stdio.data("stdout", 4, bytes("two"));
    stdio.end("stdout", 7);
    stdio.end("stderr", 4);
    expect(await read).toEqual(["one two", "oops"]);
    await recorder.acked("stdout", 8);
    await stdio.close();
    expect(bench().keeper.inventory().stdio).toEqual([]);
  });

  it("refuses what passes the credit, and gaps, without harm to the stream", async () => {
    const paths = await bench().fifos("c", ["stdout"]);
    const recorder = new StdioRecorder();
    const stdio = await bench().keeper.openStdio("c", paths, recorder);
    await recorder.acked("stdout", 0);
    const { window } = recorder.acks.stdout;
    expect(window).toBe(WINDOW);
    const unexpected = expect.objectContaining({ code: "FrameUnexpected" });
    expect(() => stdio.data("stdout", 0, new Uint8Array(window + 1))).toThrow(unexpected);
    expect(() => stdio.data("stdout", 3, bytes("gap"))).toThrow(unexpected);
    expect(() => stdio.data("stderr", 0, bytes("no such stream"))).toThrow(unexpected);
    const read = bench().readToEnd(paths.stdout);
    stdio.data("stdout", 0, bytes("fine"));
    stdio.end("stdout", 4);
    expect(await read).toBe("fine");
  });

  it("lets a new daemon go on where the keeper is, nothing lost or doubled", async () => {
    const paths = await bench().fifos("c", ["stdout"]);
    const read = bench().readToEnd(paths.stdout);
    const first = new StdioRecorder();
    const before = await bench().keeper.openStdio("c", paths, first);
    await first.acked("stdout", 0);
    before.data("stdout", 0, bytes("0123456789"));
    const next = await bench().restartDaemon();
    const second = new StdioRecorder();
    const after = await next.openStdio("c", paths, second);
    await vi.waitFor(() => expect(second.acks.stdout.offset).toBeGreaterThanOrEqual(0));
    const all = "0123456789abcdef";
    // What the guest would do: send again from the acknowledged offset.
    const from = second.acks.stdout.offset;
    after.data("stdout", from, bytes(all.slice(from)));
    after.end("stdout", all.length);
    expect(await read).toBe(all);
  });

  it("does not open one id with two sets of paths", async () => {
    const paths = await bench().fifos("c", ["stdout"]);
    await bench().keeper.openStdio("c", paths, new StdioRecorder());
    const other = await bench().fifos("d", ["stdout"]);
    const opened = bench().keeper.openStdio("c", other, new StdioRecorder());
    await expect(opened).rejects.toMatchObject({ code: "InvalidArgument" });
  });
}

function inputPromises(bench: () => KeeperBench): void {
  it("hands over what containerd writes, then the end once it is asked for", async () => {
    const paths = await bench().fifos("c", ["stdin", "stdout"]);
    const recorder = new StdioRecorder();
    const stdio = await bench().keeper.openStdio("c", paths, recorder);
    stdio.acknowledgeInput(0, 1024);
    await bench().write(paths.stdin, "hello");
    await vi.waitFor(() => expect(recorder.text).toBe("hello"));
    await bench().write(paths.stdin, " world");
    await stdio.closeInput();
    await vi.waitFor(() => expect(recorder.inputEndedAt).toBe(11));
    expect(recorder.text).toBe("hello world");
  });

  it("sends no more than the guest takes", async () => {
    const paths = await bench().fifos("c", ["stdin"]);
    const recorder = new StdioRecorder();
    const stdio = await bench().keeper.openStdio("c", paths, recorder);
    stdio.acknowledgeInput(0, 4);
    await bench().write(paths.stdin, "abcdefgh");
    await vi.waitFor(() => expect(recorder.text).toBe("abcd"));
    stdio.acknowledgeInput(4, 4);
    await vi.waitFor(() => expect(recorder.text).toBe("abcdefgh"));
  });

  it("sends again to a new daemon what was not acknowledged", async () => {
    const paths = await bench().fifos("c", ["stdin"]);
    const first = new StdioRecorder();
    const stdio = await bench().keeper.openStdio("c", paths, first);
    stdio.acknowledgeInput(0, 1024);
    await bench().write(paths.stdin, "consumed lost");
    await vi.waitFor(() => expect(first.text).toBe("consumed lost"));
    const next = await bench().restartDaemon();
    const second = new StdioRecorder();
    const resumed = await next.openStdio("c", paths, second);
    resumed.acknowledgeInput(9, 1024);
    await vi.waitFor(() => expect(second.chunks).toEqual([{ offset: 9, text: "lost" }]));
  });

  it("refuses an ack of what was never sent", async () => {
    const paths = await bench().fifos("c", ["stdin"]);
    const stdio = await bench().keeper.openStdio("c", paths, new StdioRecorder());
    expect(() => stdio.acknowledgeInput(99, 1024)).toThrow(
      expect.objectContaining({ code: "FrameUnexpected" }),
    );
  });
}

function taskPromises(bench: () => KeeperBench): void {
  it("answers each connection's requests", async () => {
    bench().keeper.onTaskMessage(async (message) => ttrpc(`re: ${ttrpcText(message)}`, 2));
    const [a, b] = [await bench().connectTask(), await bench().connectTask()];
    expect(ttrpcText(await a.call(ttrpc("one")))).toBe("re: one");
    expect(ttrpcText(await b.call(ttrpc("two")))).toBe("re: two");
    expect(ttrpcText(await a.call(ttrpc("three")))).toBe("re: three");
  });

  it("gives the next daemon what the last one left unanswered, and nothing else", async () => {
    bench().keeper.onTaskMessage(async (message) =>
      ttrpcText(message) === "slow" ? new Promise(() => undefined) : ttrpc("quick answer", 2),
    );
    const [a, b] = [await bench().connectTask(), await bench().connectTask()];
    await a.call(ttrpc("quick"));
    const slow = a.call(ttrpc("slow"));
    await bench().killDaemon();
    const meanwhile = b.call(ttrpc("meanwhile"));
    const next = await bench().restartDaemon();
    const seen: string[] = [];
    next.onTaskMessage(async (message) => {
      seen.push(ttrpcText(message));
      return ttrpc(`late: ${ttrpcText(message)}`, 2);
    });
    expect(ttrpcText(await slow)).toBe("late: slow");
    expect(ttrpcText(await meanwhile)).toBe("late: meanwhile");
    expect(seen.sort()).toEqual(["meanwhile", "slow"]);
  });

  it("tells whoever answers that containerd has hung up", async () => {
    let arrived: (signal: AbortSignal) => void = () => undefined;
    const handed = new Promise<AbortSignal>((resolve) => {
      arrived = resolve;
    });
    bench().keeper.onTaskMessage((_, { signal }) => {
      arrived(signal);
      return new Promise(() => undefined);
    });
    const caller = await bench().connectTask();
    caller.call(ttrpc("wait")).catch(() => undefined);
    const signal = await handed;
    expect(signal.aborted).toBe(false);
    caller.close();
    await vi.waitFor(() => expect(signal.aborted).toBe(true));
  });
}

function networkPromises(bench: () => KeeperBench): void {
  it("tells what changes while it is watched, by its id", async () => {
    const { keeper } = bench();
    const [one, other] = [bench().network(), bench().network()];
    if (one === undefined || other === undefined) return;
    const [changed, spared] = [vi.fn(), vi.fn()];
    await keeper.watchNetwork("one", one.path, changed);
    await keeper.watchNetwork("other", other.path, spared);
    one.change();
    await vi.waitFor(() => expect(changed).toHaveBeenCalled());
    expect(spared).not.toHaveBeenCalled();
    await keeper.unwatchNetwork("one");
    changed.mockClear();
    one.change();
    other.change();
    await vi.waitFor(() => expect(spared).toHaveBeenCalled());
    expect(changed).not.toHaveBeenCalled();
    await keeper.unwatchNetwork("other");
    await keeper.unwatchNetwork("unknown");
  });

  it("has one watch an id: the last one", async () => {
    const { keeper } = bench();
    const [one, other] = [bench().network(), bench().network()];
    if (one === undefined || other === undefined) return;
    const [first, second] = [vi.fn(), vi.fn()];
    await keeper.watchNetwork("pod", one.path, first);
    await keeper.watchNetwork("pod", other.path, second);
    one.change();
    other.change();
    await vi.waitFor(() => expect(second).toHaveBeenCalled());
    expect(first).not.toHaveBeenCalled();
  });

  it("refuses a path where there is none, and forgets all with the daemon", async () => {
    const { keeper } = bench();
    const network = bench().network();
    if (network === undefined) return;
    const watching = keeper.watchNetwork("pod", "/run/netns/blz-never", () => undefined);
    await expect(watching).rejects.toMatchObject({ code: "HostResource" });
    const [before, after] = [vi.fn(), vi.fn()];
    await keeper.watchNetwork("pod", network.path, before);
    const next = await bench().restartDaemon();
    await next.watchNetwork("pod", network.path, after);
    network.change();
    await vi.waitFor(() => expect(after).toHaveBeenCalled());
    expect(before).not.toHaveBeenCalled();
  });
}
