/** What a person sees of set-up: silence when all is there, a report when a step cannot work. */
import { describe, expect, test } from "vitest";
import { run } from "../../../setup/lib/command.ts";
import type { Progress } from "../../../setup/lib/progress.ts";
import { closingLine, countResults } from "../../../setup/lib/test-report.ts";
import { attempt, perform, type Step } from "../../../setup/steps/steps.ts";

function recorder(): Progress & { readonly lines: string[] } {
  const lines: string[] = [];
  return {
    lines,
    line: (text) => void lines.push(text),
    during: (name, why, body) => {
      lines.push(`${name}: ${why}`);
      return body();
    },
  };
}

const step = (parts: Partial<Step<string>>): Step<string> => ({
  name: "kettle",
  why: "boils water",
  upToDate: async () => undefined,
  run: async () => "made",
  ...parts,
});

describe("a step", () => {
  test("that is up to date says nothing and does nothing", async () => {
    const progress = recorder();
    const done = step({ upToDate: async () => "kept", run: () => Promise.reject(new Error("must not run")) });
    expect(await perform(done, progress)).toBe("kept");
    expect(progress.lines).toEqual([]);
  });

  test("that has work says what and why", async () => {
    const progress = recorder();
    expect(await perform(step({}), progress)).toBe("made");
    expect(progress.lines).toEqual(["kettle: boils water"]);
  });

  test("that fails reports itself, the command, its last lines and the remedy", async () => {
    const script = "for i in $(seq 100); do echo line $i; done; echo no water >&2; exit 3";
    const failing = step({ run: () => run("sh", ["-c", script], { remedy: "fill it" }) });
    const failure = await perform(failing, recorder()).then(
      () => "",
      (error: Error) => error.message,
    );
    expect(failure).toContain('step "kettle" failed (boils water)');
    expect(failure).toContain("tried: run sh -c");
    expect(failure).toContain("exit status 3");
    expect(failure).toContain("| no water");
    expect(failure).toContain("| line 100");
    expect(failure).not.toContain("| line 7\n");
    expect(failure).toContain("what to do: fill it");
  });

  test("whose program is missing says so", async () => {
    const failing = step({ run: () => run("no-such-program-here", []) });
    await expect(perform(failing, recorder())).rejects.toThrow(/no-such-program-here[\s\S]*ENOENT/);
  });

  test("that is optional yields null and says what will be missing", async () => {
    const progress = recorder();
    const failing = step({ run: () => Promise.reject(new Error("dry")) });
    expect(await attempt(failing, progress, "no tea")).toBeNull();
    expect(progress.lines.join("\n")).toMatch(/result: dry[\s\S]*going on without it: no tea/);
  });
});

describe("the closing line of the tests", () => {
  const report = (passed: number, failed: number, pending: number): string =>
    JSON.stringify({
      numPassedTests: passed,
      numFailedTests: failed,
      numPendingTests: pending,
      numTodoTests: 0,
    });

  test("has the counts", () => {
    expect(closingLine(countResults(report(7, 0, 0), 0))).toBe("7 passed, 0 failed");
    expect(closingLine(countResults(report(7, 2, 1), 1))).toBe("7 passed, 2 failed, 1 skipped");
  });

  test("never looks green when the run was not", () => {
    expect(closingLine(countResults(report(7, 0, 0), 1))).toBe("7 passed, 1 failed");
    expect(closingLine(countResults(undefined, 0))).toBe("0 passed, 1 failed");
    expect(closingLine(countResults("{", 0))).toBe("0 passed, 1 failed");
  });
});
