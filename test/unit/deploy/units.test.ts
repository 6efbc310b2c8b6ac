/** The units of systemd: what a restart must not take along (systemd.service(5), systemd.kill(5)). */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { repoRoot } from "../../../setup/lib/paths.ts";

/** Directives and their values. None of these units has one twice, but for Documentation's like. */
function unit(name: string): Map<string, string> {
  const lines = readFileSync(join(repoRoot(), "deploy", name), "utf8").split("\n");
  return new Map(
    lines.flatMap((line) => {
      const [, key, value] = /^([A-Za-z]+)=(.*)$/.exec(line) ?? [];
      return key === undefined || value === undefined ? [] : [[key, value] as const];
    }),
  );
}

describe.each(["blazar.service", "blazar-keeper.service"])("%s", (name) => {
  it("takes nothing else with it when it ends, and comes back however often", () => {
    const { KillMode, Restart, StartLimitIntervalSec, RuntimeDirectoryPreserve } = Object.fromEntries(
      unit(name),
    );
    expect({ KillMode, Restart, StartLimitIntervalSec, RuntimeDirectoryPreserve }).toEqual({
      ...{ KillMode: "process", Restart: "always" },
      ...{ StartLimitIntervalSec: "0", RuntimeDirectoryPreserve: "yes" },
    });
  });

  it("is there before containerd, and is not restarted with another unit", () => {
    const found = unit(name);
    expect(found.get("Before")).toContain("containerd.service");
    for (const tie of ["Requires", "BindsTo", "PartOf", "Requisite"]) expect(found.has(tie)).toBe(false);
  });
});

it("The keeper's unit does not end because a VMM was killed for want of memory", () => {
  expect(unit("blazar-keeper.service").get("OOMPolicy")).toBe("continue");
});

it("The daemon's unit has limits of its own, and the keeper's, below which VMMs start, has none", () => {
  const { MemoryMax, TasksMax } = Object.fromEntries(unit("blazar.service"));
  expect(MemoryMax).toMatch(/^\d+%$/);
  expect(Number(TasksMax)).toBeGreaterThan(100);
  expect(unit("blazar-keeper.service").has("MemoryMax")).toBe(false);
});
