/**
 * A long-running child of the demo or of a test: a daemon with its log in a file, started until it answers, and
 * ended for certain.
 *
 * Started in a process group of its own, so that a Ctrl-C in the terminal reaches only us and we end the children in
 * order. Must not be used by the daemon itself.
 */
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";
import { promisify } from "node:util";
import { type BlazarError, blazarError, reasonOf } from "../../src/contracts/errors.ts";

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
  /** Resolves to true once the daemon answers; asked again and again until then. */
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
    private readonly ended: Promise<unknown>,
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
      },
      (error: unknown) => {
        failure = reasonOf(error);
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
      await delay(PROBE_MS);
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
    const late = new AbortController();
    const timeout = delay(this.options.stopTimeoutMs, "late", { signal: late.signal }).catch(() => "");
    const first = await Promise.race([this.ended, timeout]);
    late.abort();
    if (first === "late") await this.kill();
  }

  /** SIGKILL. Resolves when it has ended. */
  async kill(): Promise<void> {
    if (this.running) this.child.kill("SIGKILL");
    await this.ended;
  }

  private async failed(reason: string): Promise<BlazarError> {
    const { name, program, logFile } = this.options;
    const text = await readFile(logFile, "utf8").catch(() => "");
    return blazarError(
      "HostResource",
      `start ${name}`,
      `${reason}; the end of its log:\n${text.slice(-SHOWN_LOG_CHARACTERS).trim()}`,
      { subject: program },
    );
  }
}

const execute = promisify(execFile);

/** Runs a program to its end and returns its standard output. Throws HostResource with what it said. */
export async function runProgram(
  program: string,
  args: readonly string[],
  options: { readonly env?: NodeJS.ProcessEnv; readonly timeoutMs?: number } = {},
): Promise<string> {
  try {
    const { stdout } = await execute(program, [...args], {
      env: options.env ?? process.env,
      timeout: options.timeoutMs ?? 60_000,
      maxBuffer: 64 * 2 ** 20,
    });
    return stdout;
  } catch (error) {
    const said = (error as { stderr?: string }).stderr?.trim() ?? "";
    throw blazarError(
      "HostResource",
      `run ${program} ${args.join(" ")}`,
      said === "" ? reasonOf(error) : said,
      { cause: error },
    );
  }
}
