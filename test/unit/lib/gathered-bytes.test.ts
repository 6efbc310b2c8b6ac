/** Bytes that come one by one go on together, in order, and none is lost, doubled or changed by a buffer that is used again. */
import { fc, test } from "@fast-check/vitest";
import { describe, expect, it } from "vitest";
import { GatheredBytes } from "../../../src/lib/gathered-bytes.ts";

function gathering(most = 1 << 16) {
  const passed: Uint8Array[] = [];
  const gathered = new GatheredBytes(most, (bytes) => passed.push(Uint8Array.from(bytes)));
  return { passed, gathered };
}

describe("bytes of one turn of the event loop", () => {
  it("go on as one when it ends, and are copies", async () => {
    const { passed, gathered } = gathering();
    const view = new Uint8Array(1);
    for (let byte = 0; byte < 100; byte++) {
      view[0] = byte;
      gathered.add(view);
    }
    expect(passed).toEqual([]);
    await Promise.resolve();
    expect(passed).toEqual([Uint8Array.from({ length: 100 }, (_, index) => index)]);
  });

  it("go on at once if they are many, behind those that wait", () => {
    const { passed, gathered } = gathering();
    gathered.add(Uint8Array.of(1));
    gathered.add(new Uint8Array(4096));
    expect(passed.map(({ length }) => length)).toEqual([1, 4096]);
  });

  it("do not go on once they are forgotten", async () => {
    const { passed, gathered } = gathering();
    gathered.add(Uint8Array.of(1));
    gathered.clear();
    await Promise.resolve();
    expect(passed).toEqual([]);
  });

  test.prop([
    fc.array(fc.uint8Array({ maxLength: 6000, size: "max" }), { maxLength: 40 }),
    fc.integer({ min: 1, max: 9000 }),
  ])("are the same bytes in the same order, in pieces of the agreed size", async (pieces, most) => {
    const { passed, gathered } = gathering(most);
    for (const piece of pieces) gathered.add(piece);
    await Promise.resolve();
    expect(Buffer.concat(passed).equals(Buffer.concat(pieces))).toBe(true);
    const largest = Math.max(most, ...pieces.map(({ length }) => length));
    for (const piece of passed) expect(piece.length).toBeLessThanOrEqual(largest);
  });
});
