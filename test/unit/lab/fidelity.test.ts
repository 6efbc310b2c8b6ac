import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { FIDELITY_CASES } from "../../../lab/fidelity/fidelity.ts";
import { FidelityReport } from "../../../lab/fidelity/report.ts";

describe("the cases of fidelity", () => {
  test("have names of their own", () => {
    const names = FIDELITY_CASES.map(({ name }) => name);
    expect(new Set(names).size).toBe(names.length);
  });

  test("that may differ are in docs/specification.md, each with its reason, and no others", () => {
    const specification = readFileSync("docs/specification.md", "utf8");
    const section =
      /### Where a container differs from runc's\n([\s\S]*?)\n##/.exec(specification)?.[1] ?? "";
    const rows = section.split("\n").filter((line) => line.startsWith("| "));
    const explained = FIDELITY_CASES.flatMap(({ name, explained: why }) =>
      why === undefined ? [] : [`| ${name} | ${why} |`],
    );
    expect(rows.slice(1)).toEqual(explained);
  });
});

describe("the report of fidelity", () => {
  const report = (answers: { runc: string; blazar: string }, explained?: string) => {
    const lines: string[] = [];
    const made = new FidelityReport({ write: (text: string | Uint8Array) => lines.push(String(text)) > 0 });
    made.add(explained === undefined ? { name: "it" } : { name: "it", explained }, answers);
    return { code: made.close(), text: lines.join("") };
  };

  test("passes where both answers are the same", () => {
    const { code, text } = report({ runc: "a\nb", blazar: "a\nb" });
    expect([code, text]).toEqual([0, "same       it: a | b\n1 same, 0 different, 0 explained\n"]);
  });

  test("fails where they differ, and shows both", () => {
    const { code, text } = report({ runc: "a", blazar: "b" });
    expect(code).toBe(1);
    expect(text).toContain('runc    "a"\n           blazar  "b"\n0 same, 1 different, 0 explained\n');
  });

  test.each(["it has not ended within 60000 ms", "failed: the pod is refused"])(
    "fails where both answer %j",
    (answer) => {
      expect(report({ runc: answer, blazar: answer }).code).toBe(1);
    },
  );

  test("passes where they differ for a reason", () => {
    const { code, text } = report({ runc: "a", blazar: "b" }, "a VM cannot");
    expect(code).toBe(0);
    expect(text).toContain("why     a VM cannot\n0 same, 0 different, 1 explained\n");
  });
});
