/**
 * `blazar run`: one command in a fresh microVM, with no containerd and no root.
 *
 * Standard streams, signals and the exit code pass through; nothing but the command's own output goes to stdout.
 * 127 = no such command, 126 = it cannot be executed, 128 + n = ended by signal n, as with a shell. Whatever happens,
 * the VM, the keeper and the temporary directory are gone at the end.
 */
import { pino } from "pino";
import { BlazarError, blazarError } from "../contracts/errors.ts";
import type { Logger } from "../contracts/logger.ts";
import { readMachine } from "../daemon/config/machine.ts";
import type { Core } from "../daemon/core.ts";
import { type ImageConfig, readImageConfig } from "../oci/image.ts";
import { ErrorLog } from "../standalone/error-log.ts";
import { CONNECTED, LocalStdio } from "../standalone/local-stdio.ts";
import { prepareShare, type RootSource, StandaloneRootfsStore } from "../standalone/rootfs-store.ts";
import { runId, Session } from "../standalone/session.ts";
import { RunSignals } from "../standalone/signals.ts";
import { composeSpec, NO_DEFAULTS } from "../standalone/spec.ts";
import { followWindowSize, rawInput, type Terminal } from "../standalone/terminal.ts";

/** The command line's options, as commander gives them. */
export interface RunOptions {
  readonly rootfs?: string;
  readonly image?: string;
  readonly memory?: string;
  readonly cpus?: string;
  /** `K=V`, or `K` for the value that it has here. */
  readonly env?: readonly string[];
  readonly tty?: boolean;
  readonly verbose?: boolean;
}

/** The container's id in its VM; there is only one. */
const CONTAINER = "main";
const NOT_FOUND = 127;
const NOT_EXECUTABLE = 126;
const SIGPIPE = 13;

/** Runs the command; the returned number is the exit code. */
export async function run(command: readonly string[], options: RunOptions): Promise<number> {
  const source = rootSource(options);
  const machine = readMachine(options);
  const terminal = options.tty === true ? terminalOf(process) : undefined;
  const wanted = {
    command,
    env: environment(options.env ?? []),
    terminal,
    term: process.env["TERM"] ?? "xterm",
  };
  // what is wrong with the command line is told before anything is started
  const spec = composeSpec(wanted, await defaultsOf(source));
  const errors = new ErrorLog();
  const logger = options.verbose === true ? verboseLog() : errors;
  const signals = new RunSignals();
  let session: Session | undefined;
  let failure: unknown;
  try {
    session = await Session.open(machine, logger);
    return await runIn(session, { source, spec, terminal, signals });
  } catch (error) {
    failure = error;
    if (signals.aborted.aborted) return signals.exitCode;
    return exitCodeOf(error);
  } finally {
    signals.ignore();
    await session?.close();
    signals.close();
    if (!signals.aborted.aborted) process.stderr.write(errors.report(failure));
  }
}

function verboseLog(): Logger {
  return pino({ level: "debug", base: {} }, pino.destination({ dest: 2, sync: true }));
}

interface Plan {
  readonly source: RootSource;
  readonly spec: unknown;
  readonly terminal: Terminal | undefined;
  readonly signals: RunSignals;
}

async function runIn(session: Session, plan: Plan): Promise<number> {
  const { signals, terminal } = plan;
  const share = await prepareShare(plan.source, session.directory);
  let core: Core | undefined;
  const stdio = new LocalStdio({
    stdin: process.stdin,
    stdout: process.stdout,
    stderr: process.stderr,
    // as the kernel would tell a writer whose reader has gone
    onBroken: () => core?.tasks.kill(CONTAINER, "", SIGPIPE, false).catch(() => undefined),
  });
  const rootfs = new StandaloneRootfsStore({ guest: share.guest, empty: session.parts.emptyImage });
  core = await session.start({ stdio, rootfs });
  const id = runId();
  await boot(core, id, share.directory, plan);
  const { tasks } = core;
  const streams = { stdin: CONNECTED, stdout: CONNECTED, stderr: CONNECTED };
  const create = { sandboxId: id, id: CONTAINER, bundle: session.directory, rootfs: [], spec: plan.spec };
  const restore = terminal === undefined ? () => undefined : rawInput(process.stdin);
  try {
    await orAborted(
      tasks.create({ ...create, ...streams, terminal: terminal !== undefined }),
      signals.aborted,
    );
    await orAborted(tasks.start(CONTAINER, ""), signals.aborted);
    signals.passTo((signal) => void tasks.kill(CONTAINER, "", signal, false).catch(() => undefined));
    const unfollow = terminal === undefined ? () => undefined : followWindowSize(terminal, CONTAINER, tasks);
    const { exitStatus } = await tasks.wait(CONTAINER, "");
    signals.ignore();
    unfollow();
    // the last output is on its way: delete waits for it
    await tasks.delete(CONTAINER, "");
    return exitStatus;
  } finally {
    restore();
    stdio.close();
  }
}

async function boot(core: Core, id: string, sharedDirectory: string | undefined, plan: Plan): Promise<void> {
  await core.sandboxes.create(
    {
      id,
      hostname: "blazar",
      netnsPath: "",
      dns: { servers: [], searches: [], options: [] },
      pidMode: "pod",
      cgroupParent: "",
      name: id,
      namespace: "run",
      uid: id,
      attempt: 0,
      labels: {},
      annotations: {},
      ...(sharedDirectory === undefined ? {} : { sharedDirectory }),
    },
    plan.signals.aborted,
  );
  await core.sandboxes.start(id, plan.signals.aborted);
}

/** The work goes on behind; cleaning up waits for it. */
function orAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  work.catch(() => undefined);
  const aborted = new Promise<never>((_, reject) => {
    const abort = () => reject(blazarError("Cancelled", "run the command", "a signal has come"));
    if (signal.aborted) abort();
    else signal.addEventListener("abort", abort, { once: true });
  });
  return Promise.race([work, aborted]);
}

/** A command that cannot be run is the caller's business, told as a shell does; everything else is ours. */
function exitCodeOf(error: unknown): number {
  const code = error instanceof BlazarError ? error.code : undefined;
  if (code !== "CommandNotFound" && code !== "CommandNotExecutable") throw error;
  process.stderr.write(`blazar: ${(error as BlazarError).message}\n`);
  return code === "CommandNotFound" ? NOT_FOUND : NOT_EXECUTABLE;
}

function rootSource({ rootfs, image }: RunOptions): RootSource {
  if (rootfs !== undefined && image !== undefined) throw invalid("--image", "there is a --rootfs as well");
  if (rootfs !== undefined) return { kind: "directory", path: rootfs };
  return image === undefined ? { kind: "builtin" } : { kind: "archive", path: image };
}

async function defaultsOf(source: RootSource): Promise<ImageConfig> {
  return source.kind === "archive" ? await readImageConfig(source.path) : NO_DEFAULTS;
}

function terminalOf({ stdout }: NodeJS.Process): Terminal {
  return stdout.isTTY ? { rows: stdout.rows, columns: stdout.columns } : { rows: 24, columns: 80 };
}

function environment(given: readonly string[]): string[] {
  return given.map((entry) => {
    if (entry.startsWith("=") || entry === "") throw invalid("--env", `"${entry}" has no name`);
    if (entry.includes("=")) return entry;
    const value = process.env[entry];
    if (value === undefined)
      throw invalid("--env", `${entry} has no value here`, `give one: --env ${entry}=VALUE`);
    return `${entry}=${value}`;
  });
}

function invalid(subject: string, reason: string, remedy?: string): BlazarError {
  return blazarError("InvalidArgument", "read the command line", reason, { subject, remedy });
}
