/**
 * The Controller adapter: containerd.services.sandbox.v1.Controller on one side, the port SandboxService on
 * the other.
 *
 * Translates messages and nothing else. Start and Status both carry the Task address: containerd uses
 * Start's while it lives and Status's after its restart. Wait is the delicate one: containerd repeats it
 * after Unavailable and takes any other error for the sandbox's end, for good.
 */
import type { handleUnaryCall } from "@grpc/grpc-js";
import { BlazarError, blazarError, reasonOf } from "../../contracts/errors.ts";
import type { Logger } from "../../contracts/logger.ts";
import type { SandboxPhase, SandboxService } from "../../contracts/sandbox.ts";
import type {
  ControllerServer,
  ControllerStatusResponse,
  ControllerWaitResponse,
} from "../generated/containerd/services/sandbox/v1/controller.ts";
import { Ending, PendingCall } from "../pending-call.ts";
import { kindOfError, toServiceError } from "../status.ts";
import { toTimestamp } from "../timestamps.ts";
import type { TurnBudget } from "../turn-budget.ts";
import { toSandboxSpec } from "./sandbox-spec.ts";

/** The version of the Task API behind the address; containerd runs a shim binary for anything below. */
const TASK_API_VERSION = 3;
/** How long Stop takes at most when containerd names no limit. */
const DEFAULT_STOP_MS = 30_000;

const READY = "SANDBOX_READY";
const NOT_READY = "SANDBOX_NOTREADY";
const SHUTTING_DOWN = "blazard is shutting down";

/** The words that containerd compares with; everything but ready is not ready. */
const STATES: Readonly<Record<SandboxPhase, typeof READY | typeof NOT_READY>> = {
  creating: NOT_READY,
  created: NOT_READY,
  booting: NOT_READY,
  ready: READY,
  stopping: NOT_READY,
  stopped: NOT_READY,
  failed: NOT_READY,
};

export interface ControllerOptions {
  readonly sandboxes: SandboxService;
  /** Where containerd finds the Task service: `ttrpc+unix:///absolute/path`. */
  readonly taskAddress: string;
  readonly logger: Logger;
  /** Aborts when the daemon is about to end: pending Waits are answered Unavailable. */
  readonly draining: AbortSignal;
  /** Aborts when the daemon ends now: every pending call is answered Unavailable. */
  readonly closing: AbortSignal;
  /** Where calls that do work wait for their turn. Status, Platform and Wait do not. */
  readonly turns: TurnBudget;
}

/** The nine methods, ready for grpc-js. */
export function createControllerService(options: ControllerOptions): ControllerServer {
  const { sandboxes, taskAddress } = options;
  const unary = unaryHandlers(options);
  const { turns } = options;
  const draining = new Ending(options.draining);
  return {
    create: unary("Create", async (request, call) => {
      await turns.run(() => sandboxes.create(toSandboxSpec(request), call.signal));
      return { sandboxId: request.sandboxId };
    }),
    start: unary("Start", async ({ sandboxId }, call) => {
      const { pid, createdAt } = await turns.run(() => sandboxes.start(sandboxId, call.signal));
      return {
        sandboxId,
        pid,
        createdAt: toTimestamp(createdAt),
        labels: {},
        address: taskAddress,
        version: TASK_API_VERSION,
      };
    }),
    platform: unary("Platform", ({ sandboxId }) => ({
      platform: { ...sandboxes.platform(sandboxId), osVersion: "" },
    })),
    stop: unary("Stop", async ({ sandboxId, timeoutSecs }) => {
      const timeoutMs = timeoutSecs > 0 ? timeoutSecs * 1000 : DEFAULT_STOP_MS;
      await turns.run(() => sandboxes.stop(sandboxId, timeoutMs));
      return {};
    }),
    wait: unary("Wait", ({ sandboxId }, call) => wait(sandboxes, draining, sandboxId, call)),
    status: unary("Status", ({ sandboxId, verbose }) => status(options, sandboxId, verbose)),
    shutdown: unary("Shutdown", async ({ sandboxId }) => {
      await turns.run(() => sandboxes.shutdown(sandboxId));
      return {};
    }),
    metrics: unary("Metrics", ({ sandboxId }) => refuse("read the metrics of the sandbox", sandboxId)),
    update: unary("Update", ({ sandboxId }) => refuse("change the sandbox", sandboxId)),
  };
}

function status(
  { sandboxes, taskAddress }: ControllerOptions,
  sandboxId: string,
  verbose: boolean,
): ControllerStatusResponse {
  const { phase, pid, createdAt, exitedAt, info } = sandboxes.status(sandboxId);
  return {
    sandboxId,
    pid,
    state: STATES[phase],
    info: verbose ? { ...info, phase } : {},
    createdAt: toTimestamp(createdAt),
    exitedAt: exitedAt === undefined ? undefined : toTimestamp(exitedAt),
    extra: undefined,
    address: taskAddress,
    version: TASK_API_VERSION,
  };
}

async function wait(
  sandboxes: SandboxService,
  draining: Ending,
  sandboxId: string,
  call: PendingCall,
): Promise<ControllerWaitResponse> {
  const release = whenReached(draining, () =>
    call.giveUp(askAgain("wait for the sandbox", sandboxId, SHUTTING_DOWN)),
  );
  try {
    const { exitStatus, exitedAt } = await sandboxes.wait(sandboxId, call.signal);
    return { exitStatus, exitedAt: toTimestamp(exitedAt) };
  } catch (error) {
    if (kindOfError(error) === "notFound") throw error;
    // whatever it was, it does not prove that the sandbox has ended
    const reason = draining.reached ? SHUTTING_DOWN : reasonOf(error);
    throw askAgain("wait for the sandbox", sandboxId, reason, error);
  } finally {
    release();
  }
}

/** Calls `act` when the daemon's end is reached, at once if it is; returns how to stop waiting. */
function whenReached(ending: Ending, act: () => void): () => void {
  if (!ending.reached) return ending.listen(act);
  act();
  return () => undefined;
}

function askAgain(operation: string, sandboxId: string, reason: string, cause?: unknown): BlazarError {
  return blazarError("ShuttingDown", operation, reason, { subject: sandboxId, remedy: "call again", cause });
}

function refuse(operation: string, sandboxId: string): never {
  throw blazarError("Unimplemented", operation, "this version of Blazar does not do that yet", {
    subject: sandboxId,
  });
}

type Handler<Req, Res> = (request: Req, call: PendingCall) => Res | Promise<Res>;

/** Makes grpc-js handlers out of functions that return or throw; each call is answered exactly once. */
function unaryHandlers({ logger, closing }: ControllerOptions) {
  const ending = new Ending(closing);
  return <Req extends { sandboxId: string }, Res>(
    method: string,
    handle: Handler<Req, Res>,
  ): handleUnaryCall<Req, Res> => {
    return (call, callback) => {
      const { sandboxId } = call.request;
      const pending = new PendingCall();
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
        // Status and Platform: no other turn of the loop is needed
        if (!(result instanceof Promise)) return succeed(result);
        // grpc-js emits this after normal completion as well
        call.on("cancelled", () => {
          if (!answered) pending.giveUp(callerLeft(method, sandboxId));
        });
        release = whenReached(ending, () => {
          const error = askAgain(`answer ${method}`, sandboxId, SHUTTING_DOWN);
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

function callerLeft(method: string, sandboxId: string): BlazarError {
  return blazarError("Cancelled", `answer ${method}`, "the caller has given up", { subject: sandboxId });
}

function logFailure(logger: Logger, method: string, sandbox: string, err: unknown): void {
  const fields = { method, sandbox, err };
  if (!(err instanceof BlazarError)) logger.error(fields, "a Controller call failed unexpectedly");
  else if (err.kind === "internal") logger.warn(fields, "a Controller call failed");
  else logger.debug(fields, "a Controller call failed");
}
