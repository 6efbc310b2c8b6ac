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

it.each(["blazar.service", "blazar-keeper.service"])(
  "%s is there before containerd, and keeps the directory of both",
  (name) => {
    expect(unit(name).get("Before")).toContain("containerd.service");
    expect(unit(name).get("RuntimeDirectoryPreserve")).toBe("yes");
  },
);

describe("blazar.service", () => {
  it("ends no other process of its group by itself, and comes back however often it dies", () => {
    const { KillMode, Restart, StartLimitIntervalSec } = Object.fromEntries(unit("blazar.service"));
    expect({ KillMode, Restart, StartLimitIntervalSec }).toEqual({
      ...{ KillMode: "process", Restart: "always", StartLimitIntervalSec: "0" },
    });
  });

  it("has more time to end its pods than a drain takes", () => {
    expect(Number(unit("blazar.service").get("TimeoutStopSec"))).toBeGreaterThanOrEqual(120);
  });
});
