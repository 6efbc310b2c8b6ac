import { expect, it } from "vitest";
import { SpareFrames } from "../../../src/host/keeper/spare-frames.ts";
import { encodeFrame, FrameType, MAX_DATA_BYTES } from "../../../src/protocol/wire/frame.ts";

it("makes the same frames as the codec, also from a buffer that held another", () => {
  const frames = new SpareFrames();
  for (const length of [1, MAX_DATA_BYTES - 1, MAX_DATA_BYTES, MAX_DATA_BYTES - 100]) {
    const bytes = new Uint8Array(length).fill(length % 251);
    const frame = frames.encode(7, length, bytes);
    expect(Buffer.compare(frame, encodeFrame(FrameType.Data, 7, length, bytes))).toBe(0);
    frames.giveBack(frame);
  }
});

it("uses a frame's memory again only once it is given back", () => {
  const frames = new SpareFrames();
  const bytes = new Uint8Array(MAX_DATA_BYTES);
  const first = frames.encode(1, 0, bytes);
  const second = frames.encode(1, MAX_DATA_BYTES, bytes);
  expect(second.buffer).not.toBe(first.buffer);
  frames.giveBack(first);
  expect(frames.encode(2, 0, bytes).buffer).toBe(first.buffer);
});
