import { describe, expect, it } from "vitest";
import { countOption, sizeOption } from "../../../src/console/options.ts";
import { outputFormat } from "../../../src/console/structured.ts";
import { blazarError } from "../../../src/contracts/errors.ts";
import { isMisuse } from "../../../src/contracts/misuse.ts";

function thrown(act: () => unknown): unknown {
  try {
    return act();
  } catch (error) {
    return error;
  }
}

describe("a command line that is wrong", () => {
  it.each([
    ["a word that is no number", () => countOption("--last", "-3", 1)],
    ["a word that is no size", () => sizeOption("--tail", "1Q", 1)],
    ["a format that there is not", () => outputFormat("xml", ["json"], "json")],
  ])("is told apart from what has failed: %s", (_, act) => {
    expect(isMisuse(thrown(act))).toBe(true);
  });

  it.each([
    [
      "an argument that a daemon refuses",
      blazarError("InvalidArgument", "find the sandbox", "it may mean 2"),
    ],
    ["an error of another kind", new Error("read the command line")],
    ["nothing", undefined],
  ])("is not %s", (_, error) => {
    expect(isMisuse(error)).toBe(false);
  });
});
