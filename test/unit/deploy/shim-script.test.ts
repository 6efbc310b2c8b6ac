import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { BinaryReader, WireType } from "@bufbuild/protobuf/wire";
import { describe, expect, it } from "vitest";
import { repoRoot } from "../../../setup/lib/paths.ts";
import { DeleteResponse } from "../../../src/rpc/generated/containerd/task/v3/task.ts";

const SHIM = join(repoRoot(), "deploy", "containerd-shim-blazar-v1");
const FLAGS = ["-namespace", "k8s.io", "-address", "/run/containerd/containerd.sock", "-id", "c1"];

/** The fields of a message that has nothing but bytes in them (protobuf's encoding.html); throws for anything else. */
function messageFields(message: Buffer): Map<number, Buffer> {
  const reader = new BinaryReader(message);
  const fields = new Map<number, Buffer>();
  while (reader.pos < reader.len) {
    const [number, type] = reader.tag();
    expect(type).toBe(WireType.LengthDelimited);
    fields.set(number, Buffer.from(reader.bytes()));
  }
  return fields;
}

describe("the shim script", () => {
  it("answers delete with a DeleteResponse of a killed process that ended now", () => {
    const before = Math.floor(Date.now() / 1000);
    const answer = DeleteResponse.decode(execFileSync(SHIM, [...FLAGS, "-bundle", "/x", "delete"]));
    expect(answer.exitStatus).toBe(137);
    const seconds = Number(answer.exitedAt?.seconds);
    expect(seconds).toBeGreaterThanOrEqual(before);
    expect(seconds).toBeLessThanOrEqual(before + 5);
  });

  it("tells containerd the features that kubelet asks for, in a RuntimeInfo", () => {
    const answer = execFileSync(SHIM, ["-info"], { input: "" });
    const fields = messageFields(answer);
    expect(fields.get(1)?.toString()).toBe("io.containerd.blazar.v1");
    const features = messageFields(fields.get(4) ?? Buffer.alloc(0));
    expect(features.get(1)?.toString()).toBe(
      "types.containerd.io/opencontainers/runtime-spec/1/features/Features",
    );
    expect(JSON.parse(features.get(2)?.toString() ?? "")).toMatchObject({
      mountOptions: ["rro"],
      linux: { namespaces: expect.arrayContaining(["user"]), mountExtensions: { idmap: { enabled: true } } },
    });
  });

  it("refuses to be started as a shim, saying what the configuration lacks", () => {
    expect(() => execFileSync(SHIM, [...FLAGS, "start"], { stdio: "pipe" })).toThrow(/sandboxer = 'blazar'/);
  });
});
