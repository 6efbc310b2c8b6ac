/**
 * Makes the Controller's grpc-js handlers of functions that return or throw.
 *
 * Each call is answered exactly once: with the result, with the error's status, or with Unavailable when the daemon
 * ends. A function that returns no promise is answered in the same turn of the event loop. A caller that leaves is told
 * to the function by its {@link PendingCall}.
 */
import type { handleUnaryCall, Metadata } from "@grpc/grpc-js";
import { BlazarError, blazarError } from "../../contracts/errors.ts";
import type { Logger } from "../../contracts/logger.ts";
import type { Ending } from "../ending.ts";
import { PendingCall } from "../pending-call.ts";
import { toServiceError } from "../status.ts";
import { TRACEPARENT } from "../told.ts";

const SHUTTING_DOWN = "blazard is shutting down";

/** What a method does; `call` tells it when nobody waits for the answer any more. */
export type UnaryHandler<Req, Res> = (request: Req, call: PendingCall) => Res | Promise<Res>;

/** Returns a function that makes the handler of one method. When `closing` comes, pending calls are answered. */
export function unaryHandlers(closing: Ending, logger: Logger) {
  return <Req extends { sandboxId: string }, Res>(
    method: string,
    handle: UnaryHandler<Req, Res>,
  ): handleUnaryCall<Req, Res> => {
    return (call, callback) => {
      const { sandboxId } = call.request;
      const pending = new PendingCall(traceparentOf(call.metadata));
      let answered = false;
      let release = (): void => undefined;
      const succeed = (response: Res): void => {
        if (answered) return;
        answered = true;
        release();
        callback(null, response);
      };
      const fail = (error: unknown): void => {
        if (answered) return;
        answered = true;
        release();
        logFailure(logger, method, sandboxId, error);
        callback(toServiceError(error));
      };
      try {
        const result = handle(call.request, pending);
        if (!(result instanceof Promise)) return succeed(result);
        // grpc-js emits "cancelled" after a normal answer, too
        call.on("cancelled", () => {
          if (!answered) pending.giveUp(callerLeft(method, sandboxId));
        });
        release = closing.listen(() => {
          const error = callAgain(`answer ${method}`, sandboxId);
          pending.giveUp(error);
          fail(error);
        });
        result.then(succeed, fail);
      } catch (error) {
        fail(error);
      }
    };
  };
}

/** The error that makes containerd repeat the call: the only one for which it does. */
export function callAgain(
  operation: string,
  sandboxId: string,
  reason = SHUTTING_DOWN,
  cause?: unknown,
): BlazarError {
  return blazarError("ShuttingDown", operation, reason, { subject: sandboxId, remedy: "call again", cause });
}

function traceparentOf(metadata: Metadata): string | undefined {
  const [value] = metadata.get(TRACEPARENT);
  return value === undefined ? undefined : value.toString();
}

function callerLeft(method: string, sandboxId: string): BlazarError {
  return blazarError("Cancelled", `answer ${method}`, "the caller has given up", { subject: sandboxId });
}

function logFailure(logger: Logger, method: string, sandbox: string, err: unknown): void {
  const fields = { method, sandbox, err };
  if (!(err instanceof BlazarError)) logger.error(fields, "a Controller call failed unexpectedly");
  else if (err.kind === "internal") logger.warn(fields, "a Controller call failed");
  else logger.debug(fields, "a Controller call failed");
}
