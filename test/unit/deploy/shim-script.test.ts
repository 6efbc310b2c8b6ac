import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { repoRoot } from "../../../setup/lib/paths.ts";
import { DeleteResponse } from "../../../src/rpc/generated/containerd/task/v3/task.ts";

const SHIM = join(repoRoot(), "deploy", "containerd-shim-blazar-v1");
const FLAGS = ["-namespace", "k8s.io", "-address", "/run/containerd/containerd.sock", "-id", "c1"];

describe("the shim script", () => {
  it("answers delete with a DeleteResponse of a killed process that ended now", () => {
    const before = Math.floor(Date.now() / 1000);
    const answer = DeleteResponse.decode(execFileSync(SHIM, [...FLAGS, "-bundle", "/x", "delete"]));
    expect(answer.exitStatus).toBe(137);
    const seconds = Number(answer.exitedAt?.seconds);
    expect(seconds).toBeGreaterThanOrEqual(before);
    expect(seconds).toBeLessThanOrEqual(before + 5);
  });

  it("refuses to be started as a shim, saying what the configuration lacks", () => {
    expect(() => execFileSync(SHIM, [...FLAGS, "start"], { stdio: "pipe" })).toThrow(/sandboxer = 'blazar'/);
  });
});
