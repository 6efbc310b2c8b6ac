/**
 * Runs a program of the host to its end. Nothing goes through a shell.
 *
 * {@link runProgram} is for tools that must succeed; {@link runToEnd} is for programs whose end is what matters.
 */
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { text } from "node:stream/consumers";
import { promisify } from "node:util";
import { blazarError, reasonOf } from "../../src/contracts/errors.ts";
import { onAbort } from "../../src/lib/async.ts";
import { patient } from "./patience.ts";

const execute = promisify(execFile);
const TIMEOUT_MS = 60_000;
const MAX_OUTPUT_BYTES = 64 * 2 ** 20;

/** Returns the program's standard output. Throws HostResource with what it wrote to standard error. */
export async function runProgram(program: string, args: readonly string[]): Promise<string> {
  try {
    const options = { timeout: patient(TIMEOUT_MS), maxBuffer: MAX_OUTPUT_BYTES };
    const { stdout } = await execute(program, [...args], options);
    return stdout;
  } catch (cause) {
    const said = (cause as { stderr?: string }).stderr?.trim() ?? "";
    const reason = said === "" ? reasonOf(cause) : said;
    throw blazarError("HostResource", `run ${program} ${args.join(" ")}`, reason, { cause });
  }
}

/** How a program has ended. One that a signal ended has no code. */
export interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunToEndOptions {
  /** Variables added to this process's own. */
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  /** All of its standard input; nothing if absent. */
  readonly input?: string;
  /** Sends SIGTERM to the program; its end is still waited for. */
  readonly signal?: AbortSignal;
}

/** Runs a program with its streams connected. Rejects only if it cannot be started. */
export async function runToEnd(words: readonly string[], options: RunToEndOptions = {}): Promise<Ended> {
  const [program = "", ...args] = words;
  const { cwd, input = "", signal } = options;
  const child = spawn(program, args, { cwd, env: { ...process.env, ...options.env } });
  const forget = onAbort(signal, () => child.kill("SIGTERM"));
  // a program may end before it has read its input
  child.stdin.on("error", () => undefined).end(input);
  try {
    const close = once(child, "close");
    const [[code], stdout, stderr] = await Promise.all([close, text(child.stdout), text(child.stderr)]);
    return { code, stdout, stderr };
  } finally {
    forget();
  }
}
