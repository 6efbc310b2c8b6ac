/**
 * The Controller adapter: containerd.services.sandbox.v1.Controller on one side, the port SandboxService on
 * the other.
 *
 * Translates messages and nothing else. Start and Status both carry the Task address: containerd uses
 * Start's while it lives and Status's after its restart. Wait is the delicate one: containerd repeats it
 * after Unavailable and takes any other error for the sandbox's end, for good.
 */
import type { handleUnaryCall } from "@grpc/grpc-js";
import { BlazarError, reasonOf } from "../../contracts/errors.ts";
import type { Logger } from "../../contracts/logger.ts";
import type { SandboxPhase, SandboxService } from "../../contracts/sandbox.ts";
import type {
  ControllerServer,
  ControllerStatusResponse,
  ControllerWaitResponse,
} from "../generated/containerd/services/sandbox/v1/controller.ts";
import { kindOfError, toServiceError } from "../status.ts";
import { toTimestamp } from "../timestamps.ts";
import { toSandboxSpec } from "./sandbox-spec.ts";

/** The version of the Task API behind the address; containerd runs a shim binary for anything below. */
const TASK_API_VERSION = 3;
/** How long Stop takes at most when containerd names no limit. */
const DEFAULT_STOP_MS = 30_000;

const READY = "SANDBOX_READY";
const NOT_READY = "SANDBOX_NOTREADY";

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
}

/** The nine methods, ready for grpc-js. */
export function createControllerService(options: ControllerOptions): ControllerServer {
  const { sandboxes, taskAddress } = options;
  const unary = unaryHandlers(options);
  return {
    create: unary("Create", async (request, signal) => {
      await sandboxes.create(toSandboxSpec(request), signal);
      return { sandboxId: request.sandboxId };
    }),
    start: unary("Start", async ({ sandboxId }, signal) => {
      const { pid, createdAt } = await sandboxes.start(sandboxId, signal);
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
      await sandboxes.stop(sandboxId, timeoutSecs > 0 ? timeoutSecs * 1000 : DEFAULT_STOP_MS);
      return {};
    }),
    wait: unary("Wait", ({ sandboxId }, signal) => wait(options, sandboxId, signal)),
    status: unary("Status", ({ sandboxId, verbose }) => status(options, sandboxId, verbose)),
    shutdown: unary("Shutdown", async ({ sandboxId }) => {
      await sandboxes.shutdown(sandboxId);
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
  { sandboxes, draining }: ControllerOptions,
  sandboxId: string,
  cancelled: AbortSignal,
): Promise<ControllerWaitResponse> {
  const ended = joinSignals([draining, cancelled]);
  try {
    const { exitStatus, exitedAt } = await sandboxes.wait(sandboxId, ended.signal);
    return { exitStatus, exitedAt: toTimestamp(exitedAt) };
  } catch (error) {
    if (kindOfError(error) === "notFound") throw error;
    // whatever it was, it does not prove that the sandbox has ended
    const reason = draining.aborted ? "blazard is shutting down" : reasonOf(error);
    throw askAgain("wait for the sandbox", sandboxId, reason, error);
  } finally {
    ended.release();
  }
}

function askAgain(operation: string, sandboxId: string, reason: string, cause?: unknown): BlazarError {
  return new BlazarError("ShuttingDown", {
    operation,
    subject: sandboxId,
    reason,
    remedy: "call again",
    cause,
  });
}

/** A signal that aborts with the first of several. Not AbortSignal.any: Node 20.0 has none. */
function joinSignals(signals: readonly AbortSignal[]): { signal: AbortSignal; release(): void } {
  const joined = new AbortController();
  const abort = (): void => joined.abort();
  for (const signal of signals) {
    if (signal.aborted) abort();
    else signal.addEventListener("abort", abort, { once: true });
  }
  return {
    signal: joined.signal,
    release: () => {
      for (const signal of signals) signal.removeEventListener("abort", abort);
    },
  };
}

function refuse(operation: string, sandboxId: string): never {
  throw new BlazarError("Unimplemented", {
    operation,
    subject: sandboxId,
    reason: "this version of Blazar does not do that yet",
  });
}

type Handler<Req, Res> = (request: Req, cancelled: AbortSignal) => Res | Promise<Res>;

/** Makes grpc-js handlers out of functions that return or throw; each call is answered exactly once. */
function unaryHandlers({ logger, closing }: ControllerOptions) {
  return <Req extends { sandboxId: string }, Res>(
    method: string,
    handle: Handler<Req, Res>,
  ): handleUnaryCall<Req, Res> => {
    return (call, callback) => {
      const { sandboxId } = call.request;
      // grpc-js emits this after normal completion as well: harmless then
      const cancelled = new AbortController();
      call.on("cancelled", () => cancelled.abort());
      const ended = joinSignals([cancelled.signal, closing]);
      const closed = new Promise<never>((_, reject) => {
        const fail = (): void => reject(askAgain(`answer ${method}`, sandboxId, "blazard is shutting down"));
        ended.signal.addEventListener("abort", fail, { once: true });
      });
      const run = async (): Promise<Res> => handle(call.request, ended.signal);
      Promise.race([run(), closed])
        .finally(() => ended.release())
        .then(
          (response) => callback(null, response),
          (error: unknown) => {
            logFailure(logger, method, sandboxId, error);
            callback(toServiceError(error));
          },
        );
    };
  };
}

function logFailure(logger: Logger, method: string, sandbox: string, err: unknown): void {
  const fields = { method, sandbox, err };
  if (!(err instanceof BlazarError)) logger.error(fields, "a Controller call failed unexpectedly");
  else if (err.kind === "internal") logger.warn(fields, "a Controller call failed");
  else logger.debug(fields, "a Controller call failed");
}
