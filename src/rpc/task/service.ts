/**
 * The Task adapter: from containerd.task.v3.Task to the port TaskService.
 *
 * One row for each call of the proto file; a forgotten row is a type error. Translates messages and nothing else.
 * Create must never answer Unimplemented, because containerd would try again as task.v2. A call that Blazar does not
 * have answers Unimplemented and a reason, never an empty success: an empty Stats fails all of ListContainerStats.
 */
import { BlazarError, blazarError } from "../../contracts/errors.ts";
import { type Histories, NO_HISTORIES } from "../../contracts/history.ts";
import type { ProcessState, ProcessStatus, TaskCallOrigin, TaskService } from "../../contracts/task.ts";
import { ProcessDetails } from "../generated/containerd/runc/v1/options.ts";
import {
  type CreateTaskRequest,
  type CreateTaskResponse,
  type ExecProcessRequest,
  type StateResponse,
  TaskDefinition,
} from "../generated/containerd/task/v3/task.ts";
import { Status } from "../generated/containerd/types/task.ts";
import type { Any } from "../generated/google/protobuf/any.ts";
import type { Empty } from "../generated/google/protobuf/empty.ts";
import { checkIdentifier } from "../identifiers.ts";
import { toTimestamp } from "../timestamps.ts";
import { TRACEPARENT, told } from "../told.ts";
import { NAMESPACE_METADATA } from "../ttrpc/metadata.ts";
import { bindService, type TtrpcCall, type TtrpcHandlers, type TtrpcService } from "../ttrpc/service.ts";
import { readBundle } from "./bundle.ts";
import { toMetrics } from "./metrics.ts";
import { readProcess, readResources } from "./process.ts";
import { checkStreams } from "./stdio.ts";

const STATUSES: Readonly<Record<ProcessStatus, Status>> = {
  created: Status.CREATED,
  running: Status.RUNNING,
  stopped: Status.STOPPED,
  paused: Status.PAUSED,
};

/**
 * The Task service, ready for a dispatcher.
 * @param keeper names whoever numbers the connections: numbers of another one begin anew
 */
export function createTaskService(
  tasks: TaskService,
  histories: Histories = NO_HISTORIES,
  keeper: () => string = () => "",
): TtrpcService {
  const originOf: OriginOf = ({ connection, stream, replayed }) => ({
    replayed,
    token: `${keeper()}/${connection}/${stream}`,
  });
  return bindService(TaskDefinition, taskHandlers(tasks, histories, originOf));
}

type OriginOf = (call: TtrpcCall) => TaskCallOrigin;

/** Every call of containerd.task.v3.Task. An execId of "" is the container's init process. */
function taskHandlers(
  tasks: TaskService,
  histories: Histories,
  originOf: OriginOf,
): TtrpcHandlers<typeof TaskDefinition> {
  const changes: Changes = (method, { id, execId }, { metadata }, work, sandboxId = tasks.sandboxOf(id)) => {
    const chart = execId === undefined ? (`container/${id}` as const) : (`process/${id}/${execId}` as const);
    const facts = { chart, traceparent: metadata.get(TRACEPARENT) };
    return told(histories, sandboxId, `Task.${method}`, facts, (within) => within(work));
  };
  return {
    create: (request, call) => create(tasks, request, call, changes, originOf(call)),
    start: ({ id, execId }, call) =>
      changes("Start", { id, execId }, call, () => tasks.start(id, execId, originOf(call))),
    exec: (request, call) =>
      empty(changes("Exec", request, call, () => exec(tasks, request, originOf(call)))),
    state: ({ id, execId }) => toStateResponse(tasks.state(id, execId)),
    wait: async ({ id, execId }, { signal }) => {
      const { exitStatus, exitedAt } = await tasks.wait(id, execId, signal);
      return { exitStatus, exitedAt: toTimestamp(exitedAt) };
    },
    kill: ({ id, execId, signal, all }, call) =>
      empty(changes("Kill", { id, execId }, call, () => tasks.kill(id, execId, signal, all, originOf(call)))),
    delete: async ({ id, execId }, call) => {
      const about = execId === "" ? { id } : { id, execId };
      const work = () => tasks.delete(id, execId);
      const { pid, exitStatus, exitedAt } = await changes("Delete", about, call, work);
      return { pid, exitStatus, exitedAt: toTimestamp(exitedAt) };
    },
    pids: async ({ id }) => ({
      processes: (await tasks.pids(id)).map(({ pid, execId }) => ({ pid, info: detailsOf(execId) })),
    }),
    closeIO: ({ id, execId, stdin }) => (stdin ? empty(tasks.closeIO(id, execId)) : EMPTY),
    resizePty: ({ id, execId, width, height }) => empty(tasks.resizePty(id, execId, width, height)),
    connect: ({ id }) => {
      const { taskPid, version } = tasks.connect(id);
      return { shimPid: process.pid, taskPid, version };
    },
    shutdown: ({ id }) => {
      tasks.shutdown(id);
      return EMPTY;
    },
    stats: async ({ id }) => ({ stats: toMetrics(await tasks.stats(id)) }),
    update: ({ id, resources }, call) =>
      empty(changes("Update", { id }, call, () => tasks.update(id, readResources(id, resources)))),
    pause: ({ id }, call) => empty(changes("Pause", { id }, call, () => tasks.pause(id, originOf(call)))),
    resume: ({ id }, call) => empty(changes("Resume", { id }, call, () => tasks.resume(id, originOf(call)))),
    checkpoint: ({ id }) => refuse("checkpoint", id),
  };
}

/** Tells of a call, and does its work. An `execId` that is absent means the container. */
type Changes = <Result>(
  method: string,
  about: { readonly id: string; readonly execId?: string },
  call: TtrpcCall,
  work: () => Promise<Result>,
  sandboxId?: string,
) => Promise<Result>;

const EMPTY: Empty = {};

/** The answer of a call that has nothing to tell, once its work is done. */
async function empty(work: Promise<void>): Promise<Empty> {
  await work;
  return EMPTY;
}

async function create(
  tasks: TaskService,
  request: CreateTaskRequest,
  call: TtrpcCall,
  changes: Changes,
  origin: TaskCallOrigin,
): Promise<CreateTaskResponse> {
  const { id, bundle, rootfs, terminal, stdin, stdout, stderr } = request;
  checkIdentifier(id, "the container id", CREATE);
  checkStreams(request, CREATE, id);
  if (request.checkpoint !== "") {
    throw blazarError("UnsupportedSpec", CREATE, "restoring a checkpoint is not supported", { subject: id });
  }
  const { sandboxId, spec } = readBundle(bundle);
  const namespace = call.metadata.get(NAMESPACE_METADATA);
  const asked = {
    ...{ id, bundle, rootfs, terminal, stdin, stdout, spec },
    // containerd names a FIFO for stderr even if a terminal carries both
    stderr: terminal ? "" : stderr,
    ...(sandboxId === undefined ? {} : { sandboxId }),
    ...(namespace === undefined ? {} : { namespace }),
  };
  try {
    return await changes("Create", { id }, call, () => tasks.create(asked, origin), sandboxId);
  } catch (error) {
    throw neverUnimplemented(error, id);
  }
}

const CREATE = "create the container";

function neverUnimplemented(error: unknown, id: string): unknown {
  if (!(error instanceof BlazarError) || error.kind !== "unimplemented") return error;
  return blazarError("UnsupportedSpec", CREATE, error.message, { subject: id, cause: error });
}

async function exec(tasks: TaskService, request: ExecProcessRequest, origin: TaskCallOrigin): Promise<void> {
  const { id, execId, terminal, stdin, stdout, stderr } = request;
  checkIdentifier(execId, "the exec id", "add a process");
  checkStreams(request, "add a process", `${id}/${execId}`);
  const process = readProcess(request);
  const asked = { process, stdin, stdout, stderr: terminal ? "" : stderr, terminal };
  await tasks.exec(id, execId, asked, origin);
}

function toStateResponse(state: ProcessState): StateResponse {
  return {
    id: state.id,
    execId: state.execId,
    bundle: state.bundle,
    pid: state.pid,
    status: STATUSES[state.status],
    stdin: state.stdin,
    stdout: state.stdout,
    stderr: state.stderr,
    terminal: state.terminal,
    exitStatus: state.exitStatus,
    exitedAt: state.exitedAt === undefined ? undefined : toTimestamp(state.exitedAt),
  };
}

/** The exec that a pid belongs to; init has none. */
function detailsOf(execId: string): Any | undefined {
  if (execId === "") return undefined;
  const value = ProcessDetails.encode({ execId }).finish();
  return { typeUrl: "containerd.runc.v1.ProcessDetails", value };
}

function refuse(action: string, id: string): never {
  const reason = "this version of Blazar does not do that yet";
  throw blazarError("Unimplemented", `${action} the container`, reason, { subject: id });
}
