/** How far ahead output streams may be: little at first, more for those that are read, and a bound for all. */
import { describe, expect, it } from "vitest";
import { LEAST_CREDIT_BYTES, StdioCredit, StreamCredit } from "../../../keeper/stdio/stdio-credit.ts";
import { DEFAULT_WINDOW_BYTES } from "../../../src/protocol/wire/stream.ts";

/** What a stream may be ahead after its reader has taken all of it so many times. */
function afterReading(credit: StreamCredit, times: number): number {
  for (let round = 0; round < times; round++) credit.consumed(credit.bytes);
  return credit.bytes;
}

describe("the credit of output streams", () => {
  it("stays little where nobody reads", () => {
    const credit = new StreamCredit(new StdioCredit());
    for (let ack = 0; ack < 10; ack++) expect(credit.bytes).toBe(LEAST_CREDIT_BYTES);
  });

  it("grows to a whole window where somebody reads", () => {
    expect(afterReading(new StreamCredit(new StdioCredit()), 10)).toBe(DEFAULT_WINDOW_BYTES);
  });

  it("grows at once for one that needs it, up to what all may have, and begins anew after a release", () => {
    const all = new StdioCredit(5000);
    const [one, other] = [new StreamCredit(all, 1000), new StreamCredit(all, 1000)] as const;
    expect([one.grow(), one.grow(), one.grow()]).toEqual([true, true, false]);
    expect([one.present, other.grow(), other.present, other.grow()]).toEqual([4000, true, 2000, false]);
    one.release();
    expect([one.present, other.grow(), other.present]).toEqual([1000, true, 4000]);
  });

  it("has a bound for all streams, and gives back what one had", () => {
    const extra = DEFAULT_WINDOW_BYTES - LEAST_CREDIT_BYTES;
    const all = new StdioCredit(2 * extra);
    const streams = [1, 2, 3].map(() => new StreamCredit(all));
    expect(streams.map((each) => afterReading(each, 10))).toEqual([
      DEFAULT_WINDOW_BYTES,
      DEFAULT_WINDOW_BYTES,
      LEAST_CREDIT_BYTES,
    ]);
    streams[0]?.release();
    streams[0]?.release();
    expect(afterReading(streams[2] as StreamCredit, 10)).toBe(DEFAULT_WINDOW_BYTES);
  });
});
