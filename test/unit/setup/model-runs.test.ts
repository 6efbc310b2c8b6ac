/** The arguments of `npm run test:model`. */
import { describe, expect, it } from "vitest";
import { readModelRuns } from "../../../setup/lib/model-runs.ts";

describe("the number of histories", () => {
  it("is the test's own without arguments", () => {
    expect(readModelRuns([])).toBeUndefined();
  });

  it("is any positive integer, in either form", () => {
    expect(readModelRuns(["--runs", "1"])).toBe(1);
    expect(readModelRuns(["--runs=250000"])).toBe(250_000);
  });

  it.each([["0"], ["-3"], ["1.5"], ["many"], [""], ["1e3"], ["99999999999999999999"]])(
    "cannot be %j",
    (value) => {
      expect(() => readModelRuns(["--runs", value])).toThrow("must be a positive integer");
    },
  );

  it("must be given with --runs, once and alone", () => {
    expect(() => readModelRuns(["--runs"])).toThrow("must be a positive integer");
    for (const args of [["5"], ["--run", "5"], ["--runs", "5", "6"], ["--runs", "5", "--runs", "6"]])
      expect(() => readModelRuns(args)).toThrow("only --runs N is understood");
  });
});
