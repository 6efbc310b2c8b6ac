/**
 * What a guest has: asked for by a daemon that takes it over from another one.
 *
 * Every container is told, one that is still being made, too, and every process until it is deleted. What counts is what the
 * guest has, whatever the daemon's journal says.
 */
import { array, boolean, integer, object, oneOf, string } from "../wire/json.ts";

const uint32 = integer(0, 0xffff_ffff);

const inventoriedProcess = object({
  execId: string,
  state: oneOf("created", "running", "exited"),
  /** As in `process.exited`; 0 until then. */
  status: integer(0, 255),
  /** As in the request that has made the process. */
  streams: object({ stdin: uint32, stdout: uint32, stderr: uint32 }),
});

/** `sandbox.inventory`. */
export const sandboxInventory = object({
  containers: array(
    object({
      /** The container. */
      id: string,
      paused: boolean,
      /** The kernel has killed a process of it for want of memory. */
      oomKilled: boolean,
      /** None while it is being made. */
      processes: array(inventoriedProcess),
      /** As in `process.exited`, once its first process has ended. */
      returned: array(object({ name: string, content: string }), 64),
    }),
  ),
});
export type SandboxInventory = ReturnType<typeof sandboxInventory>;
