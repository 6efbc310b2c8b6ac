/** Strings of a hostile guest on the page. */
import { fc, test } from "@fast-check/vitest";
import { expect } from "vitest";
import { harmless, harmlessLine } from "../../../web/model/harmless.ts";

const UNSEEN = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/u;

test("controls are shown as what they are", () => {
  expect(harmless("a\u001b[2Jb\u0000\u007f\n\u0085")).toBe("a\\x1b[2Jb\\x00\\x7f\\n\\x85");
});

test("nothing turns the text around or hides", () => {
  expect(harmless("gpj.\u202eexe\u2066\u200b\u00ad\ufeff\u2028")).toBe(
    "gpj.\\u202eexe\\u2066\\u200b\\xad\\ufeff\\u2028",
  );
});

test("a megabyte is cut, and says so", () => {
  const shown = harmless("A".repeat(1 << 20), 100);
  expect(shown).toBe(`${"A".repeat(100)}… (${(1 << 20) - 100} more characters)`);
});

test("no character is cut in two", () => {
  expect(harmless("ab😀cd", 3)).toBe("ab… (4 more characters)");
  expect(harmless("ab😀cd", 4)).toBe("ab😀… (2 more characters)");
});

test.prop([fc.string({ unit: "binary" }), fc.integer({ min: 1, max: 50 })])(
  "whatever comes, all of it can be seen and it is no longer than allowed",
  (text, most) => {
    const shown = harmless(text, most);
    expect(shown).not.toMatch(UNSEEN);
    expect(shown.length).toBeLessThanOrEqual(most * 10 + 40);
  },
);

test("a log's colours are left out, its other escapes are shown", () => {
  expect(harmlessLine("\u001b[1;31mred\u001b[0m \u001b]0;title\u0007")).toBe("red \\x1b]0;title\\x07");
});

test("words in other scripts stay as they are", () => {
  expect(harmless("Ünïcödé 日本 עברית 😀")).toBe("Ünïcödé 日本 עברית 😀");
});
