import { describe, expect, it } from "vitest";
import { stepTable, templateTable } from "../../../src/standalone/template-tables.ts";

describe("the table of templates", () => {
  it("shows size, disk use and age", () => {
    const key = "0123456789abcdef0123";
    const template = {
      key,
      directory: `/t/${key}/vm`,
      shape: { vcpus: 2, memoryBytes: 256 * 2 ** 20, nics: 1 },
      identity: { key, parts: {} },
      createdAt: new Date(Date.UTC(2026, 0, 1)),
      lastUsedAt: new Date(Date.UTC(2026, 0, 3, 11, 59, 30)),
      bytes: 90.5 * 2 ** 20,
    };
    expect(templateTable([template], new Date(Date.UTC(2026, 0, 3, 12)))).toBe(
      [
        "KEY           MEMORY  CPUS  NICS  ON DISK  BUILT       USED",
        "0123456789ab  256M    2     1     90.5M    3 days ago  30 s ago",
        "",
      ].join("\n"),
    );
    expect(templateTable([], new Date())).toBe("");
  });
});

describe("the table of steps", () => {
  it("shows the host's, their sum, and the guest's boot in order", () => {
    const steps = [
      { step: "VMM answers", ms: 40.4 },
      { step: "guest ready", ms: 2400 },
    ];
    expect(stepTable(steps, { agent: 2300, modules: 1900 })).toBe(
      [
        "STEP         TOOK",
        "VMM answers  40 ms",
        "guest ready  2400 ms",
        "in all       2440 ms",
        "",
        "IN THE GUEST  SINCE ITS KERNEL'S START",
        "modules       1900 ms",
        "agent         2300 ms",
        "",
      ].join("\n"),
    );
  });
});
