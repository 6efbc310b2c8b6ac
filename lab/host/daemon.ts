/**
 * A daemon as a child process: its log in a file, started until it answers, and ended for certain.
 *
 * It gets a process group of its own: a Ctrl-C in the terminal then reaches only this process, which ends the
 * daemons in order.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { type BlazarError, blazarError, reasonOf } from "../../src/contracts/errors.ts";
import { pause, within } from "../../src/lib/async.ts";
import { connectUnix } from "../../src/lib/sockets/unix-socket.ts";
import { InspectionClient } from "../../src/rpc/inspection/client.ts";

const PROBE_MS = 10;
/** What is shown of a failed child's log. */
const SHOWN_LOG_CHARACTERS = 3_000;

export interface DaemonOptions {
  /** For messages: `containerd`. */
  readonly name: string;
  readonly program: string;
  readonly args: readonly string[];
  readonly env?: NodeJS.ProcessEnv;
  /** Standard output and error are appended to it. */
  readonly logFile: string;
  /** Whether the daemon answers; asked again and again until it does. */
  readonly ready: () => Promise<boolean>;
  readonly readyTimeoutMs: number;
  /** How long SIGTERM may take, before SIGKILL. */
  readonly stopTimeoutMs: number;
}

/** A running daemon. */
export class Daemon {
  private constructor(
    private readonly options: DaemonOptions,
    private readonly child: ChildProcess,
    private readonly ended: Promise<true>,
  ) {}

  /** Starts it and waits until it answers. Throws HostResource with the end of its log. */
  static async start(options: DaemonOptions): Promise<Daemon> {
    const log = openSync(options.logFile, "a", 0o600);
    const child = spawn(options.program, options.args, {
      stdio: ["ignore", log, log],
      detached: true,
      env: options.env ?? process.env,
    });
    closeSync(log);
    let failure: string | undefined;
    const ended = once(child, "exit").then(
      ([code, signal]) => {
        failure ??= `it ended with ${signal ?? `status ${code}`}`;
        return true as const;
      },
      (error: unknown) => {
        failure = reasonOf(error);
        return true as const;
      },
    );
    const daemon = new Daemon(options, child, ended);
    const deadline = performance.now() + options.readyTimeoutMs;
    while (!(await options.ready())) {
      if (performance.now() > deadline) failure ??= `it did not answer within ${options.readyTimeoutMs} ms`;
      if (failure !== undefined) {
        await daemon.kill();
        throw await daemon.failed(failure);
      }
      await pause(PROBE_MS);
    }
    return daemon;
  }

  get pid(): number {
    return this.child.pid ?? 0;
  }

  get running(): boolean {
    return this.child.pid !== undefined && this.child.exitCode === null && this.child.signalCode === null;
  }

  /** SIGTERM, and SIGKILL when its time is over. Resolves when it has ended; harmless when it has. */
  async stop(): Promise<void> {
    if (!this.running) return;
    this.child.kill("SIGTERM");
    if ((await within(this.ended, this.options.stopTimeoutMs)) === undefined) await this.kill();
  }

  /** SIGKILL. Resolves when it has ended. */
  async kill(): Promise<void> {
    if (this.running) this.child.kill("SIGKILL");
    await this.ended;
  }

  private async failed(reason: string): Promise<BlazarError> {
    const { name, program, logFile } = this.options;
    const text = await readFile(logFile, "utf8").catch(() => "");
    const why = `${reason}; the end of its log:\n${text.slice(-SHOWN_LOG_CHARACTERS).trim()}`;
    return blazarError("HostResource", `start ${name}`, why, { subject: program });
  }
}

/** Whether somebody accepts connections at a unix socket. */
export async function answersAt(socket: string): Promise<boolean> {
  try {
    (await connectUnix(socket)).destroy();
    return true;
  } catch {
    return false;
  }
}

/** Ends all pods of a blazard, as `blazar drain` does: SIGTERM alone leaves them running. Nothing if none answers. */
export async function drainBlazard(inspectionSocket: string, timeoutMs: number): Promise<void> {
  if (!(await answersAt(inspectionSocket))) return;
  const client = new InspectionClient(inspectionSocket);
  try {
    await client.drain(timeoutMs);
  } finally {
    client.close();
  }
}
