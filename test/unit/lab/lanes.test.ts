import { describe, expect, test } from "vitest";
import { inLanes } from "../../../lab/host/lanes.ts";
import { deferred } from "../../../src/lib/async.ts";

describe("lanes", () => {
  test("take each item once, and tell the results in the items' order", async () => {
    const first = deferred<string>();
    const told: string[] = [];
    const taken: string[] = [];
    const lane = (name: string) => async (item: string) => {
      taken.push(`${name} ${item}`);
      return item === "a" ? first.promise : item.toUpperCase();
    };
    const all = inLanes(["a", "b", "c", "d"], [lane("one"), lane("two")], (item, result) =>
      told.push(`${item}=${result}`),
    );
    await expect.poll(() => taken).toEqual(["one a", "two b", "two c", "two d"]);
    expect(told).toEqual([]);
    first.resolve("A");
    await all;
    expect(told).toEqual(["a=A", "b=B", "c=C", "d=D"]);
  });

  test("fail with the first failure", async () => {
    const told: number[] = [];
    const work = async (item: number) => {
      if (item === 2) throw new Error("no more");
      return item;
    };
    await expect(inLanes([1, 2, 3], [work], (item) => told.push(item))).rejects.toThrow("no more");
    expect(told).toEqual([1]);
  });
});
