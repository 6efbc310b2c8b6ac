/** The part of the keeper's suite about what it relays: output, input, and Task messages. */
import { expect, it, vi } from "vitest";
import { DEFAULT_WINDOW_BYTES } from "../../../src/protocol/wire/stream.ts";
import { type KeeperBench, StdioRecorder, ttrpc, ttrpcText } from "./keeper-bench.ts";

const WINDOW = DEFAULT_WINDOW_BYTES;
const bytes = (text: string): Uint8Array => Buffer.from(text);

export function outputPromises(bench: () => KeeperBench): void {
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
    // little is enough to begin with
    expect(window).toBeGreaterThanOrEqual(4096);
    expect(window).toBeLessThanOrEqual(WINDOW);
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

export function inputPromises(bench: () => KeeperBench): void {
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

  it("tells the next daemon which outputs have ended", async () => {
    const paths = await bench().fifos("c", ["stdout", "stderr"]);
    const recorder = new StdioRecorder();
    const stdio = await bench().keeper.openStdio("c", paths, recorder);
    const read = bench().readToEnd(paths.stdout);
    await recorder.acked("stdout", 0);
    stdio.data("stdout", 0, bytes("all"));
    stdio.end("stdout", 3);
    expect(await read).toBe("all");
    await recorder.acked("stdout", 4);
    const next = await bench().restartDaemon();
    const ended: string[] = [];
    await next.openStdio(
      "c",
      paths,
      Object.assign(new StdioRecorder(), { ended: (name: string) => ended.push(name) }),
    );
    await vi.waitFor(() => expect(ended).toEqual(["stdout"]));
  });

  it("refuses an ack of what was never sent", async () => {
    const paths = await bench().fifos("c", ["stdin"]);
    const stdio = await bench().keeper.openStdio("c", paths, new StdioRecorder());
    expect(() => stdio.acknowledgeInput(99, 1024)).toThrow(
      expect.objectContaining({ code: "FrameUnexpected" }),
    );
  });
}

export function taskPromises(bench: () => KeeperBench): void {
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
    const replayed = new Map<string, boolean>();
    next.onTaskMessage(async (message, context) => {
      seen.push(ttrpcText(message));
      replayed.set(ttrpcText(message), context.replayed);
      return ttrpc(`late: ${ttrpcText(message)}`, 2);
    });
    expect(ttrpcText(await slow)).toBe("late: slow");
    expect(ttrpcText(await meanwhile)).toBe("late: meanwhile");
    expect(seen.sort()).toEqual(["meanwhile", "slow"]);
    await a.call(ttrpc("new"));
    expect(replayed.get("slow")).toBe(true);
    expect(replayed.get("new")).toBe(false);
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
