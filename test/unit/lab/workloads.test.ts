/** What `npm run test:workloads` prints, and what it runs. */
import { access } from "node:fs/promises";
import { describe, expect, it } from "vitest";
import { WorkloadReport } from "../../../lab/workloads/report.ts";
import { WORKLOADS } from "../../../lab/workloads/workload-list.ts";

describe("the workloads", () => {
  it("have right answers and scripts", async () => {
    for (const { name, right, run } of WORKLOADS) {
      expect(right.length, name).toBeGreaterThan(1);
      const scripts: string[] = [];
      await run({
        run: async (script) => scripts.push(script).toString(),
        during: (server, use) => use().finally(() => scripts.push(server)),
      });
      for (const script of scripts) await access(`lab/workloads/scripts/${script}.sh`);
    }
  });
});

describe("the report of the workloads", () => {
  const report = (answers: { runc: string; blazar: string }) => {
    const lines: string[] = [];
    const out = { write: (text: string | Uint8Array) => lines.push(String(text)) > 0 };
    const made = new WorkloadReport(out, ["runc", "blazar"]);
    made.add({ name: "it", right: ["a", "b"] }, answers);
    return { code: made.close(), text: lines.join("") };
  };

  it("passes where both are right", () => {
    expect(report({ runc: "a\nb", blazar: "a\nb" })).toEqual({
      code: 0,
      text: "runc right  blazar right  it\nrunc    1 of 1 right\nblazar  1 of 1 right\n",
    });
  });

  it("fails where both give the same wrong answer, and shows it beside the right one", () => {
    const { code, text } = report({ runc: "c", blazar: "c" });
    expect(code).toBe(1);
    expect(text).toContain("blazar answered:\n    c\n  right is:\n    a\n    b\n");
    expect(text).toContain("blazar  0 of 1 right\n");
  });

  it("fails where nothing was run", () => {
    expect(new WorkloadReport({ write: () => true }, ["runc"]).close()).toBe(1);
  });
});
