/**
 * The Task adapter: from containerd.task.v3.Task to the port TaskService.
 *
 * One row for each call of the proto file; a forgotten row is a type error. Translates messages and nothing else.
 * Create must never answer Unimplemented, because containerd would try again as task.v2. A call that Blazar does not
 * have answers Unimplemented and a reason, never an empty success: an empty Stats fails all of ListContainerStats.
 */
import { BlazarError, blazarError } from "../../contracts/errors.ts";
import type { ProcessState, ProcessStatus, TaskService } from "../../contracts/task.ts";
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
import { NAMESPACE_METADATA } from "../ttrpc/metadata.ts";
import { bindService, type TtrpcCall, type TtrpcHandlers, type TtrpcService } from "../ttrpc/service.ts";
import { readBundle } from "./bundle.ts";
import { toMetrics } from "./metrics.ts";
import { readProcess, readResources } from "./process.ts";

const STATUSES: Readonly<Record<ProcessStatus, Status>> = {
  created: Status.CREATED,
  running: Status.RUNNING,
  stopped: Status.STOPPED,
  paused: Status.PAUSED,
};

/** The Task service, ready for a dispatcher. */
export function createTaskService(tasks: TaskService): TtrpcService {
  return bindService(TaskDefinition, taskHandlers(tasks));
}

/** Every call of containerd.task.v3.Task. An execId of "" is the container's init process. */
function taskHandlers(tasks: TaskService): TtrpcHandlers<typeof TaskDefinition> {
  return {
    create: (request, call) => create(tasks, request, call),
    start: ({ id, execId }) => tasks.start(id, execId),
    exec: (request) => empty(exec(tasks, request)),
    state: ({ id, execId }) => toStateResponse(tasks.state(id, execId)),
    wait: async ({ id, execId }, { signal }) => {
      const { exitStatus, exitedAt } = await tasks.wait(id, execId, signal);
      return { exitStatus, exitedAt: toTimestamp(exitedAt) };
    },
    kill: ({ id, execId, signal, all }) => empty(tasks.kill(id, execId, signal, all)),
    delete: async ({ id, execId }) => {
      const { pid, exitStatus, exitedAt } = await tasks.delete(id, execId);
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
    update: ({ id, resources }) => empty(tasks.update(id, readResources(id, resources))),
    pause: ({ id }) => empty(tasks.pause(id)),
    resume: ({ id }) => empty(tasks.resume(id)),
    checkpoint: ({ id }) => refuse("checkpoint", id),
  };
}

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
): Promise<CreateTaskResponse> {
  const { id, bundle, rootfs, terminal, stdin, stdout, stderr } = request;
  checkIdentifier(id, "the container id", CREATE);
  if (request.checkpoint !== "") {
    throw blazarError("UnsupportedSpec", CREATE, "restoring a checkpoint is not supported", { subject: id });
  }
  const { sandboxId, spec } = readBundle(bundle);
  const namespace = call.metadata.get(NAMESPACE_METADATA);
  try {
    return await tasks.create({
      id,
      bundle,
      rootfs,
      terminal,
      stdin,
      stdout,
      // containerd names a FIFO for stderr even if a terminal carries both
      stderr: terminal ? "" : stderr,
      spec,
      ...(sandboxId === undefined ? {} : { sandboxId }),
      ...(namespace === undefined ? {} : { namespace }),
    });
  } catch (error) {
    throw neverUnimplemented(error, id);
  }
}

const CREATE = "create the container";

function neverUnimplemented(error: unknown, id: string): unknown {
  if (!(error instanceof BlazarError) || error.kind !== "unimplemented") return error;
  return blazarError("UnsupportedSpec", CREATE, error.message, { subject: id, cause: error });
}

async function exec(tasks: TaskService, request: ExecProcessRequest): Promise<void> {
  const { id, execId, terminal, stdin, stdout, stderr } = request;
  checkIdentifier(execId, "the exec id", "add a process");
  const process = readProcess(request);
  await tasks.exec(id, execId, { process, stdin, stdout, stderr: terminal ? "" : stderr, terminal });
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
