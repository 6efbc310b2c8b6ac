/**
 * New limits of a pod, out of Controller.Update's request.
 *
 * From 2.3 on containerd calls it for UpdatePodSandboxResources (internal/cri/server/sandbox_update_resources.go): they are the
 * sandbox's extension "updated-resources", JSON of Go's structs. Must not look at the host.
 */
import * as z from "zod/mini";
import { blazarError, reasonOf } from "../../contracts/errors.ts";
import type { PodLimits, PodResources } from "../../contracts/sandbox.ts";
import type { ControllerUpdateRequest } from "../generated/containerd/services/sandbox/v1/controller.ts";

const EXTENSION = "updated-resources";
/** The part of the sandbox that the extension is in. */
const FIELD = "extensions";

/** Go leaves out what is 0. */
const Resources = z.optional(
  z.nullable(
    z.object({
      cpu_period: z.optional(z.number()),
      cpu_quota: z.optional(z.number()),
      memory_limit_in_bytes: z.optional(z.number()),
    }),
  ),
);
const UpdatedResources = z.object({ Overhead: Resources, Resources });

/** Undefined: the request changes nothing that concerns a sandboxer. @throws BlazarError `InvalidSpec` */
export function toPodLimits({ sandboxId, sandbox, fields }: ControllerUpdateRequest): PodLimits | undefined {
  const updated = sandbox?.extensions[EXTENSION];
  const isNamed = fields.length === 0 || fields.some((each) => each.split(".")[0] === FIELD);
  if (updated === undefined || !isNamed) return undefined;
  try {
    const json: unknown = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(updated.value));
    const read = UpdatedResources.parse(json);
    return { containers: resourcesOf(read.Resources), overhead: resourcesOf(read.Overhead) };
  } catch (cause) {
    const about = { subject: sandboxId, cause };
    throw blazarError("InvalidSpec", "read the pod's new limits", reasonOf(cause), about);
  }
}

/** As CRI has it, 0 and less is no limit. */
function resourcesOf(resources: z.infer<typeof Resources>): PodResources {
  const { cpu_quota: quota = 0, cpu_period: period = 0, memory_limit_in_bytes: memory = 0 } = resources ?? {};
  return {
    ...(quota > 0 && period > 0 ? { cpu: { quota, period } } : {}),
    ...(memory > 0 && Number.isSafeInteger(memory) ? { memoryBytes: memory } : {}),
  };
}
