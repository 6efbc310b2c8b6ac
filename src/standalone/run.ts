/**
 * One command in a fresh microVM, without containerd and without root: the life of a standalone run.
 *
 * Standard streams, signals and the exit code pass through, and stdout has nothing but the command's output. The exit
 * code is a shell's: 127 = no such command, 126 = it cannot be executed, 128 + n = ended by signal n. Whatever
 * happens, the VM, the keeper and the temporary directory are gone at the end.
 */
import { BlazarError, blazarError } from "../contracts/errors.ts";
import type { OutputStream } from "../contracts/keeper.ts";
import type { Logger } from "../contracts/logger.ts";
import type { SandboxSpec } from "../contracts/sandbox.ts";
import type { LayerImages } from "../contracts/storage.ts";
import type { Core } from "../daemon/core.ts";
import { abortable } from "../lib/async.ts";
import { SIGPIPE } from "../lib/signals.ts";
import { type ImageConfig, readImageConfig } from "../oci/image.ts";
import { CONNECTED, LocalStdio } from "./local-stdio.ts";
import { ErrorLog } from "./logs/error-log.ts";
import { verboseLog } from "./logs/verbose-log.ts";
import type { Machine } from "./machine.ts";
import { prepareShare, type RootSource, StandaloneRootfsStore } from "./rootfs-store.ts";
import { runId, Session } from "./session.ts";
import { RunSignals } from "./signals.ts";
import { composeSpec, NO_DEFAULTS, type Wanted } from "./spec.ts";
import { followWindowSize, rawInput } from "./terminal.ts";

/** What to run, and on what. */
export interface RunRequest {
  readonly source: RootSource;
  readonly machine: Machine;
  readonly wanted: Wanted;
  /** Logs everything to standard error as it happens, instead of the errors at the end. */
  readonly verbose: boolean;
}

/** The container's id in its VM; there is only one. */
const CONTAINER = "main";
const NOT_FOUND = 127;
const NOT_EXECUTABLE = 126;
const STREAMS = { stdin: CONNECTED, stdout: CONNECTED, stderr: CONNECTED };

/** Runs it; the returned number is the exit code. Throws what is Blazar's own failure, not the command's. */
export async function runCommand(request: RunRequest): Promise<number> {
  const spec = composeSpec(request.wanted, await defaultsOf(request.source));
  const errors = new ErrorLog();
  const logger: Logger = request.verbose ? verboseLog() : errors;
  const signals = new RunSignals();
  let session: Session | undefined;
  let failure: unknown;
  try {
    session = await Session.open(request.machine, logger);
    return await runIn(session, { ...request, spec, signals });
  } catch (error) {
    failure = error;
    if (signals.aborted.aborted) return signals.exitCode;
    return exitCodeOf(error);
  } finally {
    // for good: a signal in the moment until this process has ended would be its end, and not the command's status
    signals.ignore();
    await session?.close();
    if (!signals.aborted.aborted) process.stderr.write(errors.report(failure));
  }
}

interface Plan extends Pick<RunRequest, "source" | "wanted"> {
  readonly spec: unknown;
  readonly signals: RunSignals;
}

async function runIn(session: Session, plan: Plan): Promise<number> {
  const share = await prepareShare(plan.source, session.directory);
  let core: Core | undefined;
  const stdio = new LocalStdio({
    stdin: process.stdin,
    stdout: process.stdout,
    stderr: process.stderr,
    onBroken: (stream, error) => {
      tellBroken(stream, error);
      // as the kernel tells a writer whose reader has gone
      core?.tasks.kill(CONTAINER, "", SIGPIPE, false).catch(() => undefined);
    },
  });
  const rootfs = (layers: LayerImages) => new StandaloneRootfsStore({ guest: share.guest, layers });
  core = await session.start({ stdio, rootfs });
  const id = runId();
  await boot(core, id, share.directory, plan.signals.aborted);
  const restore = plan.wanted.terminal === undefined ? () => undefined : rawInput(process.stdin);
  try {
    return await runContainer(core, id, session.directory, plan);
  } finally {
    restore();
    stdio.close();
  }
}

/** From the container's creation to its end; the returned number is its exit status. */
async function runContainer({ tasks }: Core, sandboxId: string, bundle: string, plan: Plan): Promise<number> {
  const { signals, spec, wanted } = plan;
  const { terminal } = wanted;
  const create = { sandboxId, id: CONTAINER, bundle, rootfs: [], spec, ...STREAMS };
  await orAborted(tasks.create({ ...create, terminal: terminal !== undefined }), signals.aborted);
  await orAborted(tasks.start(CONTAINER, ""), signals.aborted);
  signals.passTo((signal) => void tasks.kill(CONTAINER, "", signal, false).catch(() => undefined));
  const unfollow = terminal === undefined ? () => undefined : followWindowSize(terminal, CONTAINER, tasks);
  const { exitStatus } = await orAborted(tasks.wait(CONTAINER, ""), signals.unanswered).catch((cause) => {
    if (!signals.unanswered.aborted) throw cause;
    throw blazarError("GuestLost", "end the command", "the guest does not answer", { subject: sandboxId });
  });
  signals.ignore();
  unfollow();
  // the last output may still be on its way: delete waits for it
  await tasks.delete(CONTAINER, "");
  return exitStatus;
}

async function boot(
  core: Core,
  id: string,
  sharedDirectory: string | undefined,
  aborted: AbortSignal,
): Promise<void> {
  const pod: SandboxSpec = {
    id,
    hostname: "blazar",
    netnsPath: "",
    pidMode: "pod",
    cgroupParent: "",
    name: id,
    namespace: "run",
    uid: id,
    attempt: 0,
    labels: {},
    annotations: {},
  };
  await core.sandboxes.create(sharedDirectory === undefined ? pod : { ...pod, sharedDirectory }, aborted);
  await core.sandboxes.start(id, aborted);
}

/** A reader that goes (`| head`) is normal; a full disk is not, and the command's end alone would not say so. */
function tellBroken(stream: OutputStream, error: NodeJS.ErrnoException): void {
  if (stream === "stdout" && error.code !== "EPIPE")
    process.stderr.write(`blazar: cannot write to standard output: ${error.message}\n`);
}

/** Gives up waiting when a signal comes. The work itself goes on; cleaning up waits for it. */
function orAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return abortable(work, signal, { operation: "run the command" });
}

/** A command that cannot be run is the caller's failure, and told as a shell tells it. Everything else is thrown. */
function exitCodeOf(error: unknown): number {
  if (!(error instanceof BlazarError)) throw error;
  if (error.code !== "CommandNotFound" && error.code !== "CommandNotExecutable") throw error;
  process.stderr.write(`blazar: ${error.message}\n`);
  return error.code === "CommandNotFound" ? NOT_FOUND : NOT_EXECUTABLE;
}

async function defaultsOf(source: RootSource): Promise<ImageConfig> {
  return source.kind === "archive" ? await readImageConfig(source.path) : NO_DEFAULTS;
}
