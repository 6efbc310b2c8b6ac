import { fc, test } from "@fast-check/vitest";
import { describe, expect, it } from "vitest";
import { ackWindow, type Frame, FrameType } from "../../../src/protocol/wire/frame.ts";
import { FrameDecoder } from "../../../src/protocol/wire/frame-decoder.ts";
import { StreamReceiver, StreamSender } from "../../../src/protocol/wire/stream.ts";

/** A sender and a receiver over a link that can be cut: frames in flight are then lost. */
class Pair {
  readonly got: number[] = [];
  ended = false;
  finished = false;
  private toReceiver: Uint8Array[] = [];
  private toSender: Uint8Array[] = [];
  private unconsumed = 0;
  readonly sender = new StreamSender({
    stream: 1,
    capacity: 64,
    send: (frame) => this.toReceiver.push(frame),
    onFinished: () => {
      this.finished = true;
    },
  });
  readonly receiver: StreamReceiver = new StreamReceiver({
    stream: 1,
    window: 32,
    send: (frame) => this.toSender.push(frame),
    onData: (bytes) => {
      this.got.push(...bytes);
      this.unconsumed += bytes.length;
    },
    onEnd: () => {
      this.ended = true;
    },
  });

  attach(): void {
    this.receiver.attached();
  }

  /** The link breaks and comes back. */
  cut(): void {
    this.toReceiver = [];
    this.toSender = [];
    this.sender.detached();
    this.attach();
  }

  consume(count: number): void {
    const now = Math.min(count, this.unconsumed);
    this.unconsumed -= now;
    this.receiver.consumed(now);
    if (this.ended && this.unconsumed === 0) this.receiver.consumedEnd();
  }

  /** Delivers one frame of each direction. */
  step(): void {
    deliver(this.toReceiver, (frame) => {
      if (frame.type === FrameType.Data) this.receiver.data(frame.sequence, frame.payload);
      else this.receiver.end(frame.sequence);
    });
    deliver(this.toSender, (frame) => this.sender.acknowledged(frame.sequence, ackWindow(frame)));
  }

  settle(): void {
    for (let round = 0; round < 5000 && !this.finished; round++) {
      this.step();
      this.consume(1000);
    }
  }
}

function deliver(queue: Uint8Array[], take: (frame: Frame) => void): void {
  const bytes = queue.shift();
  if (bytes !== undefined) new FrameDecoder(1 << 20).push(bytes, take);
}

const action = fc.oneof(
  fc.record({ type: fc.constant("write" as const), bytes: fc.uint8Array({ minLength: 1, maxLength: 40 }) }),
  fc.record({ type: fc.constant("step" as const) }),
  fc.record({ type: fc.constant("consume" as const), count: fc.nat(50) }),
  fc.record({ type: fc.constant("cut" as const) }),
);

describe("a stream", () => {
  test.prop([fc.array(action, { maxLength: 60 })])(
    "loses and doubles nothing, however often its link breaks",
    (actions) => {
      const pair = new Pair();
      const written: number[] = [];
      pair.attach();
      for (const each of actions) {
        if (each.type === "write") {
          const bytes = each.bytes.slice(0, pair.sender.room);
          pair.sender.write(bytes);
          written.push(...bytes);
        } else if (each.type === "consume") pair.consume(each.count);
        else if (each.type === "cut") pair.cut();
        else pair.step();
      }
      pair.sender.finish();
      pair.settle();
      expect(pair.got).toEqual(written);
      expect({ ended: pair.ended, finished: pair.finished }).toEqual({ ended: true, finished: true });
    },
  );

  it("sends nothing before the receiver has said where to start", () => {
    const pair = new Pair();
    pair.sender.write(Uint8Array.of(1, 2, 3));
    pair.step();
    expect(pair.got).toEqual([]);
    pair.attach();
    pair.settle();
    expect(pair.got).toEqual([1, 2, 3]);
  });

  it("stops at its credit and goes on when bytes were consumed", () => {
    const pair = new Pair();
    pair.attach();
    pair.step();
    pair.sender.write(new Uint8Array(64));
    for (let n = 0; n < 10; n++) pair.step();
    expect(pair.got.length).toBe(32);
    expect(pair.sender.room).toBe(0);
    pair.consume(32);
    for (let n = 0; n < 10; n++) pair.step();
    expect(pair.got.length).toBe(64);
  });

  it("refuses bytes that leave a gap, pass the credit or come after the end", () => {
    const fresh = () => {
      const pair = new Pair();
      pair.attach();
      return pair.receiver;
    };
    const code = expect.objectContaining({ code: "FrameUnexpected" });
    expect(() => fresh().data(1, Uint8Array.of(1))).toThrowError(code);
    expect(() => fresh().data(0, new Uint8Array(33))).toThrowError(code);
    expect(() => fresh().end(1)).toThrowError(code);
    const ended = fresh();
    ended.end(0);
    expect(() => ended.data(0, Uint8Array.of(1))).toThrowError(code);
  });

  it("refuses an ack of what was never sent", () => {
    const { sender } = new Pair();
    expect(() => sender.acknowledged(1, 10)).toThrowError(
      expect.objectContaining({ code: "FrameUnexpected" }),
    );
  });
});
