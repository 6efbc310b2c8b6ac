/**
 * Reads the process of a Task.Exec and the resources of a Task.Update: an Any whose value is the JSON of an OCI `process`
 * or `linux.resources` (runtime-spec, config.md, config-linux.md).
 *
 * Must not judge either: oci/spec/ does.
 */
import { blazarError, reasonOf } from "../../contracts/errors.ts";
import type { ExecProcessRequest } from "../generated/containerd/task/v3/task.ts";
import type { Any } from "../generated/google/protobuf/any.ts";

const OPERATION = "read the process to run";

/** @throws BlazarError `InvalidSpec` if there is none, or if it is not JSON */
export function readProcess({ id, execId, spec }: ExecProcessRequest): unknown {
  const subject = `${id}/${execId}`;
  return readJson(spec, OPERATION, subject);
}

/** Reads the `linux.resources` of a Task.Update. @throws BlazarError `InvalidSpec` */
export function readResources(id: string, resources: Any | undefined): unknown {
  return readJson(resources, "read the resources of a container", id);
}

function readJson(any: Any | undefined, operation: string, subject: string): unknown {
  if (any === undefined) throw blazarError("InvalidSpec", operation, "the request has none", { subject });
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(any.value)) as unknown;
  } catch (cause) {
    const reason = `${any.typeUrl} is not JSON: ${reasonOf(cause)}`;
    throw blazarError("InvalidSpec", operation, reason, { subject, cause });
  }
}
