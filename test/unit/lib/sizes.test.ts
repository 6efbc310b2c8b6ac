import { expect, it } from "vitest";
import { parseSize } from "../../../src/lib/sizes.ts";

it("reads sizes as people write them", () => {
  expect(["1", "2K", "3Mi", "4GiB", " 5M "].map(parseSize)).toEqual([
    1,
    2048,
    3 * 2 ** 20,
    2 ** 32,
    5 * 2 ** 20,
  ]);
  expect(parseSize(7)).toBe(7);
});

it("knows no size of what is none, or cannot be counted exactly", () => {
  const none = ["", "x", "1.5M", "-1", "0x10", "1e6", "M", "9999999T", "９"];
  expect(none.map(parseSize)).toEqual(none.map(() => undefined));
  expect([-1, 0.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 53].map(parseSize)).toEqual(
    Array.from({ length: 5 }, () => undefined),
  );
});
