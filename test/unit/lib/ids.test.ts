/** An id is a name, and no path. */
import { describe, expect, test } from "vitest";
import { checkId } from "../../../src/lib/ids.ts";

describe("an id", () => {
  test.each(["a", "0", "pool-1", "c1.2_x", "A".repeat(128)])("may be %s", (id) => {
    checkId(id, "make it");
  });

  test.each(["", ".", "..", "../etc", "a/b", "-rf", "_a", "a b", "a\n", "ä", "a\0", "A".repeat(129)])(
    "cannot be %j",
    (id) => {
      expect(() => checkId(id, "make it")).toThrow(expect.objectContaining({ code: "InvalidArgument" }));
    },
  );

  test("that is refused is shown, but not all of a long one", () => {
    expect(() => checkId("a/b", "make it")).toThrow(/^cannot make it \(a\/b\): /);
    expect(() => checkId(`/${"x".repeat(5000)}`, "make it")).toThrow(/^.{0,400}$/);
  });
});
