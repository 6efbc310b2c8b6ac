/** Things that are named by their keys, or by what these begin with. */
import { expect, it } from "vitest";
import { eachNamed, eachNamedOrAll, keyOf } from "../../../src/standalone/by-key.ts";

const store = { keys: () => Promise.resolve(["abc", "abd", "bcd", "bc"]) };

/** What became of each name, with what fails for one key. */
function recorder() {
  const told: string[] = [];
  const done = (name: string, error?: unknown) =>
    void told.push(error === undefined ? name : `${name}: ${(error as Error).message}`);
  const work = (key: string) => (key === "abd" ? Promise.reject(new Error("broken")) : Promise.resolve());
  return { told, done, work };
}

it("names the thing whose key alone begins so, or is the whole name", () => {
  expect(keyOf("abc", ["abc", "abd"])).toBe("abc");
  expect(keyOf("b", ["abc", "bcd"])).toBe("bcd");
  expect(keyOf("bc", ["bcd", "bc"])).toBe("bc");
  expect(keyOf("x", ["abc"])).toBe("x");
});

it("takes no name that means several things, and no empty one", () => {
  expect(() => keyOf("ab", ["abc", "abd"])).toThrow(/2 keys begin with it; give more digits/);
  expect(() => keyOf("", ["abc"])).toThrow(/empty/);
});

it("goes on with the next name when one fails, and tells of each", async () => {
  const { told, done, work } = recorder();
  await eachNamed(store, ["abd", "", "a", "bcd"], done, work);
  expect(told).toEqual([
    "abd: broken",
    expect.stringMatching(/^: .*empty/),
    expect.stringMatching(/^a: .*2 keys/),
    "bcd",
  ]);
});

it("takes all keys of the store if none is named, broken things too", async () => {
  const { told, done, work } = recorder();
  await eachNamedOrAll(store, [], done, work);
  expect(told).toEqual(["abc", "abd: broken", "bcd", "bc"]);
});
