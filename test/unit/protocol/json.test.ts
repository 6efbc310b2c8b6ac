import { describe, expect, it } from "vitest";
import { BlazarError } from "../../../src/contracts/errors.ts";
import { containerStats } from "../../../src/protocol/guest/messages.ts";
import { object, record, shortString, string } from "../../../src/protocol/wire/json.ts";

/** What a check says of a value. */
function refusal(check: () => unknown): string {
  try {
    check();
  } catch (error) {
    if (error instanceof BlazarError) return error.message;
  }
  return "";
}

describe("a message of a hostile end", () => {
  it("has maps of a bounded number of keys", () => {
    const keys = (count: number) =>
      Object.fromEntries(Array.from({ length: count }, (_, index) => [`k${index}`, ""]));
    expect(record(string, 3)(keys(3), "map")).toEqual(keys(3));
    expect(refusal(() => record(string, 3)(keys(4), "map"))).toContain("at most 3 keys");
    expect(refusal(() => containerStats({ files: keys(100_000) }, "container.stats"))).toContain(
      "(container.stats.files): expected an object of at most 256 keys",
    );
  });

  it("is refused by a short text, however long its keys are", () => {
    const long = { ["k".repeat(500_000)]: 1 };
    expect(refusal(() => object({ map: record(string) })({ map: long }, "message")).length).toBeLessThan(500);
  });

  it("has short strings where they are kept", () => {
    expect(shortString(4)("abcd", "id")).toBe("abcd");
    expect(refusal(() => shortString(4)("abcde", "id"))).toContain("(id): expected a string of at most 4");
    expect(refusal(() => shortString(4)(4, "id"))).toContain("(id): expected a string");
  });
});
