import { PassThrough, Writable } from "node:stream";
import { describe, expect, it } from "vitest";
import type { StdioHandlers } from "../../../src/contracts/keeper.ts";
import { CONNECTED, LocalStdio } from "../../../src/standalone/local-stdio.ts";

interface Seen {
  acks: [stream: string, offset: number, window: number][];
  input: Buffer[];
  inputEnd: number | undefined;
}

function watch(): { seen: Seen; handlers: StdioHandlers } {
  const seen: Seen = { acks: [], input: [], inputEnd: undefined };
  const handlers: StdioHandlers = {
    acknowledged: (...ack) => seen.acks.push(ack),
    input: (_offset, bytes) => seen.input.push(Buffer.from(bytes)),
    inputEnd: (offset) => {
      seen.inputEnd = offset;
    },
  };
  return { seen, handlers };
}

/** A reader that takes nothing until it is told to. */
class SlowSink extends Writable {
  readonly taken: Buffer[] = [];
  private waiting: (() => void)[] = [];

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.taken.push(chunk);
    this.waiting.push(done);
  }

  take(): void {
    for (const done of this.waiting.splice(0)) done();
  }
}

const ALL = { stdin: CONNECTED, stdout: CONNECTED, stderr: CONNECTED };

describe("a command's output", () => {
  it("goes to its own stream, and the end is acknowledged as one more offset", async () => {
    const [stdout, stderr] = [new PassThrough(), new PassThrough()];
    const { seen, handlers } = watch();
    const stdio = new LocalStdio({ stdin: new PassThrough(), stdout, stderr });
    const binding = await stdio.openStdio("c", ALL, handlers);
    binding.data("stdout", 0, Buffer.from("out"));
    binding.data("stderr", 0, Buffer.from("err"));
    binding.end("stdout", 3);
    await new Promise((next) => setImmediate(next));
    expect(stdout.read()?.toString()).toBe("out");
    expect(stderr.read()?.toString()).toBe("err");
    expect(seen.acks.filter(([stream]) => stream === "stdout").at(-1)?.[1]).toBe(4);
    expect(stdout.writableEnded).toBe(false);
  });

  it("gets no more credit while its reader takes nothing", async () => {
    const stdout = new SlowSink({ highWaterMark: 1 });
    const { seen, handlers } = watch();
    const stdio = new LocalStdio({ stdin: new PassThrough(), stdout, stderr: new PassThrough() });
    const binding = await stdio.openStdio("c", ALL, handlers);
    const credit = seen.acks.find(([stream]) => stream === "stdout")?.[2] ?? 0;
    const part = Buffer.alloc(credit / 2);
    for (let offset = 0; offset < credit; offset += part.length) binding.data("stdout", offset, part);
    expect(seen.acks.filter(([stream]) => stream === "stdout")).toHaveLength(1);
    expect(() => binding.data("stdout", credit, Buffer.from("x"))).toThrow(/credit/);
    while (stdout.taken.length < credit / part.length) {
      stdout.take();
      await new Promise((next) => setImmediate(next));
    }
    stdout.take();
    await new Promise((next) => setImmediate(next));
    expect(seen.acks.filter(([stream]) => stream === "stdout").at(-1)?.[1]).toBe(credit);
  });

  it("is taken and dropped once its reader has gone away, which is told once", async () => {
    const broken: string[] = [];
    const stdout = new Writable({ write: (_chunk, _encoding, done) => done(new Error("EPIPE")) });
    const { seen, handlers } = watch();
    const onBroken = (stream: string, { message }: Error) => broken.push(`${stream} ${message}`);
    const stdio = new LocalStdio({ stdin: new PassThrough(), stdout, stderr: new PassThrough(), onBroken });
    const binding = await stdio.openStdio("c", ALL, handlers);
    binding.data("stdout", 0, Buffer.from("lost"));
    await new Promise((next) => setImmediate(next));
    binding.data("stdout", 4, Buffer.from("lost too"));
    binding.end("stdout", 12);
    await new Promise((next) => setImmediate(next));
    expect(broken).toEqual(["stdout EPIPE"]);
    expect(seen.acks.filter(([stream]) => stream === "stdout").at(-1)?.[1]).toBe(13);
  });
});

describe("a command's input", () => {
  it("waits for the guest's first word, goes at its pace and ends with its source", async () => {
    const stdin = new PassThrough();
    const { seen, handlers } = watch();
    const stdio = new LocalStdio({ stdin, stdout: new PassThrough(), stderr: new PassThrough() });
    const binding = await stdio.openStdio("c", ALL, handlers);
    stdin.end("0123456789");
    await new Promise((next) => setImmediate(next));
    expect(seen.input).toEqual([]);
    binding.acknowledgeInput(0, 4);
    expect(Buffer.concat(seen.input).toString()).toBe("0123");
    expect(seen.inputEnd).toBeUndefined();
    binding.acknowledgeInput(4, 100);
    expect(Buffer.concat(seen.input).toString()).toBe("0123456789");
    expect(seen.inputEnd).toBe(10);
  });

  it("is not read further than the guest has room for", async () => {
    const stdin = new PassThrough({ highWaterMark: 1024 });
    const { handlers } = watch();
    const stdio = new LocalStdio({ stdin, stdout: new PassThrough(), stderr: new PassThrough() });
    await stdio.openStdio("c", ALL, handlers);
    let accepted = 0;
    while (accepted < 10_000_000 && stdin.write(Buffer.alloc(1024))) {
      accepted += 1024;
      await new Promise((next) => setImmediate(next));
    }
    expect(accepted).toBeLessThan(1_000_000);
    stdio.close();
  });

  it("is let go when the command has ended, so that this process can end", async () => {
    const stdin = new PassThrough();
    const { handlers } = watch();
    const stdio = new LocalStdio({ stdin, stdout: new PassThrough(), stderr: new PassThrough() });
    const binding = await stdio.openStdio("c", ALL, handlers);
    await binding.close();
    expect(stdin.isPaused()).toBe(true);
    expect(stdin.listenerCount("data")).toBe(0);
  });
});
