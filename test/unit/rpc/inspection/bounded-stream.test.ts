import { describe, expect, it } from "vitest";
import { BoundedStream } from "../../../../src/rpc/inspection/bounded-stream.ts";

/** Takes `room` messages, then none until it is drained. */
class Sink {
  readonly written: string[] = [];
  ended = false;
  room = 1;
  private onDrain: (() => void) | undefined;

  write(message: string): boolean {
    this.written.push(message);
    this.room -= 1;
    return this.room > 0;
  }

  once(_event: "drain", listener: () => void): void {
    this.onDrain = listener;
  }

  end(): void {
    this.ended = true;
  }

  drain(room: number): void {
    this.room = room;
    const listener = this.onDrain;
    this.onDrain = undefined;
    listener?.();
  }
}

function streamOf(most: number) {
  const sink = new Sink();
  const losses: string[] = [];
  const stream: BoundedStream<string> = new BoundedStream<string>(sink, {
    most,
    sizeOf: ({ length }) => length,
    onLost: () => {
      losses.push("lost");
      stream.send("anew");
    },
  });
  return { sink, stream, losses };
}

describe("BoundedStream", () => {
  it("passes on in order what waits for a full sink", () => {
    const { sink, stream } = streamOf(10);
    for (const message of ["a", "b", "c"]) stream.send(message);
    expect(sink.written).toEqual(["a"]);
    sink.drain(2);
    expect(sink.written).toEqual(["a", "b", "c"]);
  });

  it("drops what waits beyond its bound, and says so once there is room", () => {
    const { sink, stream, losses } = streamOf(3);
    for (const message of ["a", "bb", "cc", "d"]) stream.send(message);
    expect(stream.isLost).toBe(true);
    expect(losses).toEqual([]);
    sink.drain(5);
    expect(losses).toEqual(["lost"]);
    stream.send("e");
    expect(sink.written).toEqual(["a", "anew", "e"]);
  });

  it("counts again what it may keep after some of it was passed on", () => {
    const { sink, stream } = streamOf(2);
    for (const message of ["a", "b", "c"]) stream.send(message);
    sink.drain(2);
    sink.drain(1);
    for (const message of ["d", "e"]) stream.send(message);
    expect(stream.isLost).toBe(false);
  });

  it("keeps what is there at once, however much it is", () => {
    const { sink, stream, losses } = streamOf(1);
    stream.whole(() => {
      for (const message of ["a", "b", "c", "d"]) stream.send(message);
    });
    sink.drain(9);
    expect(sink.written).toEqual(["a", "b", "c", "d"]);
    expect(losses).toEqual([]);
  });

  it("ends after what waits", () => {
    const { sink, stream } = streamOf(9);
    for (const message of ["a", "b"]) stream.send(message);
    stream.end();
    stream.send("late");
    expect(sink.ended).toBe(false);
    sink.drain(9);
    expect(sink.written).toEqual(["a", "b"]);
    expect(sink.ended).toBe(true);
  });
});
