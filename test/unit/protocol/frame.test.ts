import { fc, test } from "@fast-check/vitest";
import { afterEach, describe, expect, it, vi } from "vitest";
import {
  ackWindow,
  encodeAck,
  encodeFrame,
  type Frame,
  FrameType,
} from "../../../src/protocol/wire/frame.ts";
import { FrameDecoder } from "../../../src/protocol/wire/frame-decoder.ts";

const frames = fc.array(
  fc.record({
    type: fc.constantFrom(...Object.values(FrameType)),
    stream: fc.nat(0xffff_ffff),
    sequence: fc.maxSafeNat(),
    payload: fc.uint8Array({ maxLength: 200 }),
  }),
  { maxLength: 8 },
);

function decodeAll(decoder: FrameDecoder, chunks: Uint8Array[]): Frame[] {
  const decoded: Frame[] = [];
  for (const chunk of chunks) {
    decoder.push(chunk, (frame) => decoded.push({ ...frame, payload: new Uint8Array(frame.payload) }));
  }
  return decoded;
}

/** Cuts bytes at the given places. */
function cut(bytes: Uint8Array, places: number[]): Uint8Array[] {
  const sorted = [0, ...places.map((place) => place % (bytes.length + 1)), bytes.length].sort(
    (a, b) => a - b,
  );
  return sorted.slice(1).map((end, index) => bytes.slice(sorted[index], end));
}

afterEach(() => vi.restoreAllMocks());

describe("frames", () => {
  test.prop([frames, fc.array(fc.nat(), { maxLength: 10 })])(
    "come out as they went in, however the bytes are cut",
    (sent, places) => {
      const encoded = sent.map((frame) =>
        encodeFrame(frame.type, frame.stream, frame.sequence, frame.payload),
      );
      const decoder = new FrameDecoder(1024);
      expect(decodeAll(decoder, cut(Buffer.concat(encoded), places))).toEqual(sent);
      expect(decoder.buffered).toBe(0);
    },
  );

  test.prop([fc.uint8Array({ maxLength: 400 })])(
    "made of noise never buffer more than one frame may have",
    (noise) => {
      const decoder = new FrameDecoder(256);
      try {
        decodeAll(decoder, [noise]);
      } catch (error) {
        expect(error).toMatchObject({ code: expect.stringMatching(/^Frame(TooLong|Malformed)$/) });
      }
      expect(decoder.buffered).toBeLessThanOrEqual(256);
    },
  );

  it("that come byte by byte are copied a few times, however long they are", () => {
    const bytes = encodeFrame(FrameType.Data, 1, 0, new Uint8Array(64 * 1024));
    const decoder = new FrameDecoder(bytes.length);
    const set = vi.spyOn(Uint8Array.prototype, "set");
    const sizes: number[] = [];
    for (let at = 0; at < bytes.length; at++)
      decoder.push(bytes.subarray(at, at + 1), ({ payload }) => sizes.push(payload.length));
    const copied = set.mock.calls.reduce((sum, [source]) => sum + source.length, 0);
    expect(sizes).toEqual([64 * 1024]);
    expect(copied).toBeLessThan(4 * bytes.length);
  });

  it("that announce more than the limit are refused before their bytes arrive", () => {
    const long = encodeFrame(FrameType.Data, 1, 0, new Uint8Array(300));
    expect(() => decodeAll(new FrameDecoder(256), [long.slice(0, 4)])).toThrowError(
      expect.objectContaining({ code: "FrameTooLong" }),
    );
  });

  it("of an unknown type are refused", () => {
    const bytes = encodeFrame(FrameType.Data, 1, 0);
    bytes[4] = 99;
    expect(() => decodeAll(new FrameDecoder(256), [bytes])).toThrowError(/unknown type 99/);
  });

  it("shorter than a header are refused", () => {
    expect(() => decodeAll(new FrameDecoder(256), [Uint8Array.of(0, 0, 0, 3, 1, 2, 3)])).toThrowError(
      /shorter than a header/,
    );
  });

  it("with a sequence beyond 2^53 are refused", () => {
    const bytes = encodeFrame(FrameType.Data, 1, 0);
    bytes.fill(0xff, 9, 17);
    expect(() => decodeAll(new FrameDecoder(256), [bytes])).toThrowError(/2\^53/);
  });

  it("carry the credit of an ack", () => {
    const [ack] = decodeAll(new FrameDecoder(256), [encodeAck(7, 5_000_000_000, 65_536)]);
    expect(ack).toMatchObject({ type: FrameType.Ack, stream: 7, sequence: 5_000_000_000 });
    expect(ack && ackWindow(ack)).toBe(65_536);
  });
});
