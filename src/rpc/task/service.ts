/**
 * The Task adapter: containerd.task.v3.Task on one side, the port TaskService on the other.
 *
 * Translates messages and nothing else. Create must never answer Unimplemented, because containerd would
 * try again as task.v2; calls that are not there yet answer Unimplemented with a sentence, and never an
 * empty success (an empty Stats fails all of ListContainerStats).
 */
import { BlazarError, blazarError, reasonOf } from "../../contracts/errors.ts";
import type { ProcessState, ProcessStatus, TaskService } from "../../contracts/task.ts";
import {
  type CreateTaskRequest,
  type ExecProcessRequest,
  type StateResponse,
  TaskDefinition,
} from "../generated/containerd/task/v3/task.ts";
import { Status } from "../generated/containerd/types/task.ts";
import type { Empty } from "../generated/google/protobuf/empty.ts";
import { checkIdentifier } from "../identifiers.ts";
import { toTimestamp } from "../timestamps.ts";
import { type BoundMethod, bindMethod, type TtrpcCall, type TtrpcService } from "../ttrpc/dispatcher.ts";
import { readBundle } from "./bundle.ts";

const EMPTY: Empty = {};
/** Where containerd puts its namespace into a ttrpc call. */
const NAMESPACE_KEY = "containerd-namespace-ttrpc";

const STATUSES: Readonly<Record<ProcessStatus, Status>> = {
  created: Status.CREATED,
  running: Status.RUNNING,
  stopped: Status.STOPPED,
  paused: Status.PAUSED,
};

/** The Task service, ready for a dispatcher. */
export function createTaskService(tasks: TaskService): TtrpcService {
  const methods = TaskDefinition.methods;
  return {
    name: TaskDefinition.fullName,
    methods: [
      ...processMethods(tasks),
      ...containerMethods(tasks),
      bindMethod(methods.stats, ({ id }) => refuse("read the statistics of", id)),
      bindMethod(methods.update, ({ id }) => refuse("change the resources of", id)),
      bindMethod(methods.pause, ({ id }) => refuse("pause", id)),
      bindMethod(methods.resume, ({ id }) => refuse("resume", id)),
      bindMethod(methods.checkpoint, ({ id }) => refuse("checkpoint", id)),
    ],
  };
}

/** What concerns a container as a whole. */
function containerMethods(tasks: TaskService): BoundMethod[] {
  const methods = TaskDefinition.methods;
  return [
    bindMethod(methods.create, (request, call) => create(tasks, request, call)),
    bindMethod(methods.pids, async ({ id }) => ({
      processes: (await tasks.pids(id)).map((pid) => ({ pid, info: undefined })),
    })),
    bindMethod(methods.connect, ({ id }) => {
      const { taskPid, version } = tasks.connect(id);
      return { shimPid: process.pid, taskPid, version };
    }),
    bindMethod(methods.shutdown, ({ id }) => {
      tasks.shutdown(id);
      return EMPTY;
    }),
  ];
}

/** What concerns one process: the init process if execId is "". */
function processMethods(tasks: TaskService): BoundMethod[] {
  const methods = TaskDefinition.methods;
  return [
    bindMethod(methods.start, ({ id, execId }) => tasks.start(id, execId)),
    bindMethod(methods.exec, async (request) => {
      await exec(tasks, request);
      return EMPTY;
    }),
    bindMethod(methods.state, ({ id, execId }) => toStateResponse(tasks.state(id, execId))),
    bindMethod(methods.wait, async ({ id, execId }, { signal }) => {
      const { exitStatus, exitedAt } = await tasks.wait(id, execId, signal);
      return { exitStatus, exitedAt: toTimestamp(exitedAt) };
    }),
    bindMethod(methods.kill, async ({ id, execId, signal, all }) => {
      await tasks.kill(id, execId, signal, all);
      return EMPTY;
    }),
    bindMethod(methods.delete, async ({ id, execId }) => {
      const { pid, exitStatus, exitedAt } = await tasks.delete(id, execId);
      return { pid, exitStatus, exitedAt: toTimestamp(exitedAt) };
    }),
    bindMethod(methods.closeIO, async ({ id, execId, stdin }) => {
      if (stdin) await tasks.closeIO(id, execId);
      return EMPTY;
    }),
    bindMethod(methods.resizePty, async ({ id, execId, width, height }) => {
      await tasks.resizePty(id, execId, width, height);
      return EMPTY;
    }),
  ];
}

async function create(tasks: TaskService, request: CreateTaskRequest, call: TtrpcCall) {
  const { id, bundle, rootfs, terminal, stdin, stdout, stderr } = request;
  checkIdentifier(id, "the container id", "create the container");
  if (request.checkpoint !== "") {
    throw blazarError(
      "UnsupportedSpec",
      "create the container",
      "it is to be restored from a checkpoint, which no sandbox here can do",
      { subject: id },
    );
  }
  const { sandboxId, spec } = readBundle(bundle);
  const namespace = call.metadata.get(NAMESPACE_KEY);
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

function neverUnimplemented(error: unknown, id: string): unknown {
  if (!(error instanceof BlazarError) || error.kind !== "unimplemented") return error;
  return blazarError("UnsupportedSpec", "create the container", error.message, { subject: id, cause: error });
}

async function exec(tasks: TaskService, request: ExecProcessRequest): Promise<void> {
  const { id, execId, terminal, stdin, stdout, stderr } = request;
  checkIdentifier(execId, "the exec id", "add a process");
  const process = parseProcess(request);
  await tasks.exec(id, execId, { process, stdin, stdout, stderr: terminal ? "" : stderr, terminal });
}

/** The process to run: an Any that holds the JSON of an OCI `process`. */
function parseProcess({ id, execId, spec }: ExecProcessRequest): unknown {
  const details = { operation: "read the process to run", subject: `${id}/${execId}` };
  if (spec === undefined) {
    throw new BlazarError("InvalidSpec", { ...details, reason: "the request holds none" });
  }
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(spec.value)) as unknown;
  } catch (cause) {
    const reason = `${spec.typeUrl} is not JSON: ${reasonOf(cause)}`;
    throw new BlazarError("InvalidSpec", { ...details, reason, cause });
  }
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

function refuse(action: string, id: string): never {
  throw blazarError(
    "Unimplemented",
    `${action} the container`,
    "this version of Blazar does not do that yet",
    { subject: id },
  );
}
