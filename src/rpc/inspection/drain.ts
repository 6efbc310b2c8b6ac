/**
 * Drain and Undrain of the inspection socket: from the calls to the port NodeDrain.
 *
 * Progress is small and bounded by the number of sandboxes, so nothing of it is dropped. The drain goes on when the caller
 * leaves, or when its time is over.
 */
import type { handleServerStreamingCall, handleUnaryCall } from "@grpc/grpc-js";
import type { DrainedSandbox, NodeDrain } from "../../contracts/drain.ts";
import { blazarError } from "../../contracts/errors.ts";
import { withDeadline } from "../../lib/async.ts";
import type {
  DrainProgress,
  DrainRequest,
  UndrainRequest,
  UndrainResponse,
} from "../generated/blazar/inspection/v1/inspection.ts";
import { toServiceError } from "../status.ts";

const OPERATION = "drain the node";
/** Names in the error of a drain that is late. */
const MOST_NAMED = 20;

export interface DrainHandlers {
  readonly drain: handleServerStreamingCall<DrainRequest, DrainProgress>;
  readonly undrain: handleUnaryCall<UndrainRequest, UndrainResponse>;
}

export function createDrainHandlers(node: NodeDrain): DrainHandlers {
  return {
    drain(call) {
      const { timeoutMs } = call.request;
      let listening = true;
      call.once("close", () => {
        listening = false;
      });
      const ended = node.drain(({ ended: sandbox, left }) => {
        if (listening) call.write({ left, ended: sandbox && toWire(sandbox) });
      });
      withDeadline(ended, timeoutMs, () => tooLate(node.left(), timeoutMs)).then(
        () => call.end(),
        (error: unknown) => call.emit("error", toServiceError(error)),
      );
    },
    undrain(_call, callback) {
      node.undrain();
      callback(null, {});
    },
  };
}

/** For a daemon that is asked by a test, without sandboxes. */
export const NO_DRAIN: DrainHandlers = createDrainHandlers({
  drain: () => Promise.reject(blazarError("Unimplemented", OPERATION, "this daemon does not offer it")),
  left: () => [],
  undrain: () => undefined,
});

function toWire({ pod, ...sandbox }: DrainedSandbox) {
  return { ...sandbox, pod: { ...pod, uid: "", attempt: 0 } };
}

function tooLate(left: readonly DrainedSandbox[], timeoutMs: number) {
  const names = left.slice(0, MOST_NAMED).map(({ pod, state }) => `${pod.namespace}/${pod.name} (${state})`);
  const more = left.length > MOST_NAMED ? ` and ${left.length - MOST_NAMED} more` : "";
  const reason = `${left.length} pods have not ended within ${timeoutMs / 1000} s: ${names.join(", ")}${more}`;
  const remedy = "they go on ending; `blazar why POD` says what each waits for";
  return blazarError("DeadlineExceeded", OPERATION, reason, { remedy });
}
