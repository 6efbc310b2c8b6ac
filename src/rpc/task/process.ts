/**
 * Reads the process of a Task.Exec: an Any whose value is the JSON of an OCI `process` (runtime-spec, config.md).
 *
 * Must not judge the process: oci/spec/process.ts does.
 */
import { blazarError, reasonOf } from "../../contracts/errors.ts";
import type { ExecProcessRequest } from "../generated/containerd/task/v3/task.ts";

const OPERATION = "read the process to run";

/** @throws BlazarError `InvalidSpec` if there is none, or if it is not JSON */
export function readProcess({ id, execId, spec }: ExecProcessRequest): unknown {
  const subject = `${id}/${execId}`;
  if (spec === undefined) throw blazarError("InvalidSpec", OPERATION, "the request has none", { subject });
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(spec.value)) as unknown;
  } catch (cause) {
    const reason = `${spec.typeUrl} is not JSON: ${reasonOf(cause)}`;
    throw blazarError("InvalidSpec", OPERATION, reason, { subject, cause });
  }
}
