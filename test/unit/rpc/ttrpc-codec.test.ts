import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  decodeFrame,
  encodeFrame,
  type Frame,
  FrameDecoder,
  HEADER_BYTES,
  MAX_MESSAGE_BYTES,
} from "../../../src/rpc/ttrpc/codec.ts";
import { codeOf } from "../../support/code-of.ts";

const frameArbitrary = fc.record({
  streamId: fc.integer({ min: 0, max: 0xffffffff }),
  type: fc.integer({ min: 0, max: 255 }),
  flags: fc.integer({ min: 0, max: 255 }),
  payload: fc.uint8Array({ maxLength: 300 }),
});

function encode({ streamId, type, flags, payload }: Omit<Frame, "length">): Uint8Array {
  return encodeFrame(streamId, type, flags, payload);
}

function headerOf(length: number): Uint8Array {
  const header = new Uint8Array(HEADER_BYTES);
  new DataView(header.buffer).setUint32(0, length);
  new DataView(header.buffer).setUint32(4, 7);
  header[8] = 1;
  return header;
}

describe("the ttrpc codec", () => {
  it("decodes what it encoded", () => {
    fc.assert(
      fc.property(frameArbitrary, (frame) => {
        const decoded = decodeFrame(encode(frame));
        expect({ ...decoded, payload: Buffer.from(decoded.payload) }).toEqual({
          ...frame,
          length: frame.payload.length,
          payload: Buffer.from(frame.payload),
        });
      }),
    );
  });

  it("finds the same frames however the bytes were chopped up", () => {
    const cuts = fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 20 });
    fc.assert(
      fc.property(fc.array(frameArbitrary, { maxLength: 6 }), cuts, (frames, sizes) => {
        const bytes = Buffer.concat(frames.map(encode));
        const decoder = new FrameDecoder();
        const found: (number | string)[] = [];
        for (let at = 0, turn = 0; at < bytes.length; turn++) {
          const size = sizes[turn % sizes.length] ?? 1;
          for (const frame of decoder.push(bytes.subarray(at, at + size))) {
            found.push(frame.streamId, Buffer.from(frame.payload ?? []).toString("hex"));
          }
          at += size;
        }
        decoder.end();
        const sent = frames.flatMap((f) => [f.streamId, Buffer.from(f.payload).toString("hex")]);
        expect(found).toEqual(sent);
      }),
    );
  });

  it("notices a frame that was cut off, wherever the cut is", () => {
    fc.assert(
      fc.property(frameArbitrary, fc.nat(), (frame, position) => {
        const bytes = encode(frame);
        const cut = 1 + (position % (bytes.length - 1));
        expect(codeOf(() => decodeFrame(bytes.subarray(0, cut)))).toBe("FrameMalformed");
        const decoder = new FrameDecoder();
        expect(decoder.push(bytes.subarray(0, cut))).toEqual([]);
        expect(codeOf(() => decoder.end())).toBe("FrameMalformed");
      }),
    );
  });

  it("refuses to make a frame over 4 MiB", () => {
    expect(codeOf(() => encodeFrame(1, 1, 0, new Uint8Array(MAX_MESSAGE_BYTES + 1)))).toBe("FrameTooLong");
    expect(encodeFrame(1, 1, 0, new Uint8Array(MAX_MESSAGE_BYTES)).length).toBe(
      HEADER_BYTES + MAX_MESSAGE_BYTES,
    );
  });

  it("skips a frame over 4 MiB without holding it, and goes on with the next", () => {
    const decoder = new FrameDecoder();
    const length = MAX_MESSAGE_BYTES + 5;
    expect(decoder.push(headerOf(length))).toEqual([
      { length, streamId: 7, type: 1, flags: 0, payload: undefined },
    ]);
    const next = encodeFrame(9, 1, 0, new Uint8Array([1, 2]));
    const rest = Buffer.concat([new Uint8Array(length), next]);
    const found = [];
    for (let at = 0; at < rest.length; at += 65_536) {
      found.push(...decoder.push(rest.subarray(at, at + 65_536)));
    }
    expect(found).toHaveLength(1);
    expect(found[0]?.streamId).toBe(9);
  });

  it("gives up on a length that no ttrpc peer sends", () => {
    // "GET " as a length
    const decoder = new FrameDecoder();
    expect(codeOf(() => decoder.push(Buffer.from("GET / HTTP/1.1\r\n")))).toBe("FrameMalformed");
  });

  it("never fails in any other way, whatever bytes come", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        expect(["nothing", "FrameMalformed"]).toContain(codeOf(() => new FrameDecoder().push(bytes)));
        expect(["nothing", "FrameMalformed", "FrameTooLong"]).toContain(codeOf(() => decodeFrame(bytes)));
      }),
    );
  });
});
