/**
 * The Controller adapter: from containerd.services.sandbox.v1.Controller to the port SandboxService.
 *
 * Translates messages and nothing else. Start and Status both carry the Task address: containerd takes the one of
 * Start, and after a restart of its own the one of Status. Wait needs care: containerd repeats it after Unavailable,
 * and takes any other error as the end of the sandbox, for good.
 */
import { reasonOf } from "../../contracts/errors.ts";
import type { Histories } from "../../contracts/history.ts";
import type { SandboxDetail } from "../../contracts/inspection.ts";
import type { Logger } from "../../contracts/logger.ts";
import type { SandboxPhase, SandboxService } from "../../contracts/sandbox.ts";
import { Ending } from "../ending.ts";
import type {
  ControllerServer,
  ControllerStatusResponse,
  ControllerWaitResponse,
} from "../generated/containerd/services/sandbox/v1/controller.ts";
import type { PendingCall } from "../pending-call.ts";
import { kindOfError } from "../status.ts";
import { toMetrics } from "../task/metrics.ts";
import { toTimestamp } from "../timestamps.ts";
import { told } from "../told.ts";
import type { TurnBudget } from "../turn-budget.ts";
import { callAgain, unaryHandlers } from "./handlers.ts";
import { toPodLimits } from "./pod-limits.ts";
import { toSandboxSpec } from "./sandbox-spec.ts";

/** The version of the Task API at the address. For a lower one containerd would run a shim binary. */
const TASK_API_VERSION = 3;
/** How long Stop takes at most when containerd names no limit. */
const DEFAULT_STOP_MS = 30_000;

/** What a Wait does, for its errors. */
const WAIT = "wait for the sandbox";

const READY = "SANDBOX_READY";
const NOT_READY = "SANDBOX_NOTREADY";

/** The words that containerd compares with. */
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
  /** Is told of the calls that change something. */
  readonly histories: Histories;
  /** What operators see of a sandbox, for a Status that is asked to be verbose; undefined = nothing more is known. */
  readonly details: (sandboxId: string) => SandboxDetail | undefined;
}

/** The nine methods, ready for grpc-js. */
export function createControllerService(options: ControllerOptions): ControllerServer {
  const { sandboxes, taskAddress, turns, histories } = options;
  const changes = <Result>(
    sandboxId: string,
    method: string,
    { traceparent }: PendingCall,
    work: () => Promise<Result>,
  ) =>
    told(histories, sandboxId, `Controller.${method}`, { traceparent }, (within) =>
      turns.run(() => within(work)),
    );
  const unary = unaryHandlers(new Ending(options.closing), options.logger);
  const draining = new Ending(options.draining);
  return {
    create: unary("Create", async (request, call) => {
      const create = async () => sandboxes.create(toSandboxSpec(request), call.signal);
      await changes(request.sandboxId, "Create", call, create);
      return { sandboxId: request.sandboxId };
    }),
    start: unary("Start", async ({ sandboxId }, call) => {
      const start = () => sandboxes.start(sandboxId, call.signal);
      const { pid, createdAt } = await changes(sandboxId, "Start", call, start);
      return {
        sandboxId,
        pid,
        createdAt: toTimestamp(createdAt),
        labels: {},
        address: taskAddress,
        version: TASK_API_VERSION,
        spec: undefined,
      };
    }),
    platform: unary("Platform", ({ sandboxId }) => ({
      platform: { ...sandboxes.platform(sandboxId), osVersion: "" },
    })),
    stop: unary("Stop", async ({ sandboxId, timeoutSecs }, call) => {
      const timeoutMs = timeoutSecs > 0 ? timeoutSecs * 1000 : DEFAULT_STOP_MS;
      await changes(sandboxId, "Stop", call, () => sandboxes.stop(sandboxId, timeoutMs));
      return {};
    }),
    wait: unary("Wait", ({ sandboxId }, call) => wait(sandboxes, draining, sandboxId, call)),
    status: unary("Status", ({ sandboxId, verbose }) => status(options, sandboxId, verbose)),
    shutdown: unary("Shutdown", async ({ sandboxId }, call) => {
      await changes(sandboxId, "Shutdown", call, () => sandboxes.shutdown(sandboxId));
      return {};
    }),
    metrics: unary("Metrics", async ({ sandboxId }) => {
      const data = toMetrics(await sandboxes.usage(sandboxId));
      return { metrics: { id: sandboxId, timestamp: toTimestamp(new Date()), data } };
    }),
    update: unary("Update", async (request, call) => {
      const { sandboxId } = request;
      const limits = toPodLimits(request);
      if (limits === undefined) sandboxes.status(sandboxId);
      else await changes(sandboxId, "Update", call, () => sandboxes.resize(sandboxId, limits));
      return {};
    }),
  };
}

function status(
  { sandboxes, taskAddress, details }: ControllerOptions,
  sandboxId: string,
  verbose: boolean,
): ControllerStatusResponse {
  const { phase, pid, createdAt, exitedAt, info } = sandboxes.status(sandboxId);
  return {
    sandboxId,
    pid,
    state: STATES[phase],
    info: verbose ? { ...info, phase, ...infoOf(details(sandboxId)) } : {},
    createdAt: toTimestamp(createdAt),
    exitedAt: exitedAt === undefined ? undefined : toTimestamp(exitedAt),
    extra: undefined,
    address: taskAddress,
    version: TASK_API_VERSION,
  };
}

/** containerd passes `info` on, and crictl shows a value that is JSON as what it says (docs/specification.md). */
function infoOf(detail: SandboxDetail | undefined): Record<string, string> {
  if (detail === undefined) return {};
  const { why, charts, deadlines, resources, history } = detail;
  const shown = charts.map((chart) => ({ ...chart, context: JSON.parse(chart.context) as unknown }));
  const data = { charts: shown, deadlines, resources, history };
  return {
    why,
    ...Object.fromEntries(Object.entries(data).map(([key, value]) => [key, JSON.stringify(value)])),
  };
}

async function wait(
  sandboxes: SandboxService,
  draining: Ending,
  sandboxId: string,
  call: PendingCall,
): Promise<ControllerWaitResponse> {
  const release = draining.listen(() => call.giveUp(callAgain(WAIT, sandboxId)));
  try {
    const { exitStatus, exitedAt } = await sandboxes.wait(sandboxId, call.signal);
    return { exitStatus, exitedAt: toTimestamp(exitedAt) };
  } catch (error) {
    if (kindOfError(error) === "notFound") throw error;
    // any other error does not prove that the sandbox has ended
    throw callAgain(WAIT, sandboxId, draining.reached ? undefined : reasonOf(error), error);
  } finally {
    release();
  }
}
