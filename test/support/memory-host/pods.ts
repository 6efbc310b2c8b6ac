/**
 * What pods of tests look like.
 */
import type { SandboxSpec } from "../../../src/contracts/sandbox.ts";
import { criSpec } from "../cri-spec.ts";

/** A hostNetwork pod; `changes` make it another one. */
export function podSpec(id: string, changes: Partial<SandboxSpec> = {}): SandboxSpec {
  return {
    id,
    hostname: id,
    netnsPath: "",
    dns: { servers: [], searches: [], options: [] },
    pidMode: "container",
    cgroupParent: "",
    name: id,
    namespace: "default",
    uid: id,
    attempt: 0,
    labels: {},
    annotations: {},
    ...changes,
  };
}

/** An ordinary container, without volumes. */
export function containerRequest(sandboxId: string, id: string) {
  const { mounts, ...rest } = criSpec();
  return {
    sandboxId,
    id,
    bundle: `/bundles/${id}`,
    rootfs: [{ type: "bind", source: "/layer", target: "", options: ["rbind", "ro"] }],
    stdin: "/f/i",
    stdout: "/f/o",
    stderr: "/f/e",
    terminal: false,
    spec: { ...rest, mounts: mounts.filter(({ type }) => type !== "bind") },
  };
}
