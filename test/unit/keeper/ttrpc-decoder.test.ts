import { fc, test } from "@fast-check/vitest";
import { describe, expect, it } from "vitest";
import { TTRPC_MAX_PAYLOAD_BYTES, TtrpcDecoder } from "../../../keeper/tasks/ttrpc-decoder.ts";

function message(payload: Uint8Array, type = 1): Uint8Array {
  const bytes = new Uint8Array(10 + payload.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, payload.length);
  view.setUint32(4, 1);
  view.setUint8(8, type);
  bytes.set(payload, 10);
  return bytes;
}

describe("the ttrpc decoder", () => {
  test.prop([
    fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 8 }),
    fc.array(fc.integer({ min: 1, max: 25 })),
  ])("gives the messages whole and in order, however they are cut", (payloads, cuts) => {
    const sent = payloads.map((payload) => message(payload));
    const wire = Buffer.concat(sent);
    const decoder = new TtrpcDecoder();
    const got: string[] = [];
    let at = 0;
    for (const cut of [...cuts, wire.length]) {
      decoder.push(wire.subarray(at, at + cut), (each) => got.push(Buffer.from(each.bytes).toString("hex")));
      at = Math.min(wire.length, at + cut);
    }
    expect(got).toEqual(sent.map((each) => Buffer.from(each).toString("hex")));
  });

  it("refuses a message that announces more than 4 MiB, before it arrives", () => {
    const header = message(new Uint8Array(0));
    new DataView(header.buffer).setUint32(0, TTRPC_MAX_PAYLOAD_BYTES + 1);
    expect(() => new TtrpcDecoder().push(header, () => undefined)).toThrow(/4194305 bytes/);
  });

  it("refuses a type that a client cannot send", () => {
    expect(() => new TtrpcDecoder().push(message(new Uint8Array(2), 2), () => undefined)).toThrow(
      /unknown type 2/,
    );
  });
});
