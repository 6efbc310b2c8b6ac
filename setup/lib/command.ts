/**
 * Child processes of set-up: run to the end, with their output captured.
 *
 * Nothing goes through a shell. A child that fails becomes a BlazarError: its subject is the command as one would type
 * it, its cause has the last lines that the child printed. Must not decide what to do about a failure.
 */
import { type SpawnOptions, spawn } from "node:child_process";
import { constants } from "node:os";
import { blazarError, reasonOf } from "../../src/contracts/errors.ts";

/** How many of a failed child's last lines are worth showing. */
const TAIL_LINES = 25;

/** How a child is run. */
export interface CommandOptions {
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** What the operator can do when it fails. */
  readonly remedy?: string;
}

/** A command as one would type it, for messages. */
function commandLine(command: string, args: readonly string[]): string {
  const words = [command, ...args].map((word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word}'`));
  const line = words.join(" ");
  return line.length > 400 ? `${line.slice(0, 400)} …` : line;
}

/** The last lines of a child's output. */
function tail(output: string, lines = TAIL_LINES): string {
  return output.trimEnd().split("\n").slice(-lines).join("\n");
}

/** The last lines of a failed child; the cause of the error that {@link run} throws. */
export class CommandOutput extends Error {
  override readonly name = "CommandOutput";
}

/**
 * Runs a program to its end and returns its standard output.
 * @throws BlazarError `DependencyMissing` if it cannot be started, `HostResource` if it fails
 */
export function run(command: string, args: readonly string[], options: CommandOptions = {}): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      cwd: options.cwd,
      env: { ...process.env, ...options.env },
      stdio: ["ignore", "pipe", "pipe"],
    });
    const stdout: Buffer[] = [];
    const all: Buffer[] = [];
    child.stdout.on("data", (chunk: Buffer) => {
      stdout.push(chunk);
      all.push(chunk);
    });
    child.stderr.on("data", (chunk: Buffer) => all.push(chunk));
    const details = { subject: commandLine(command, args), remedy: options.remedy };
    child.on("error", (cause) => {
      reject(blazarError("DependencyMissing", "run", reasonOf(cause), { ...details, cause }));
    });
    child.on("close", (status, signal) => {
      if (status === 0) return resolve(Buffer.concat(stdout).toString());
      const reason = signal === null ? `exit status ${status}` : `ended by ${signal}`;
      const cause = new CommandOutput(tail(Buffer.concat(all).toString()));
      reject(blazarError("HostResource", "run", reason, { ...details, cause }));
    });
  });
}

/** Runs a program on this process's own terminal and returns its exit status (128 + n after signal n). */
export function passThrough(
  command: string,
  args: readonly string[],
  options: SpawnOptions = {},
): Promise<number> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { stdio: "inherit", ...options });
    const forward = (signal: NodeJS.Signals): void => void child.kill(signal);
    // a terminal sends SIGINT to the child, too: this process only waits for the child's end
    const ignore = (): void => {};
    process.on("SIGINT", ignore).on("SIGTERM", forward).on("SIGHUP", forward);
    const done = (): void => {
      process.off("SIGINT", ignore).off("SIGTERM", forward).off("SIGHUP", forward);
    };
    child.on("error", (error) => {
      done();
      reject(error);
    });
    child.on("close", (status, signal) => {
      done();
      resolve(status ?? 128 + constants.signals[signal ?? "SIGTERM"]);
    });
  });
}
