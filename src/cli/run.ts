/**
 * `blazar run`: reads the command line and hands over to standalone/run.ts. The exit code is what a shell would give.
 *
 * What is wrong with the command line is said before anything is started.
 */
import type { BlazarError } from "../contracts/errors.ts";
import { misuse } from "../contracts/misuse.ts";
import { readMachine } from "../standalone/machine.ts";
import type { RootSource } from "../standalone/rootfs-store.ts";
import { runCommand } from "../standalone/run.ts";
import type { Terminal } from "../standalone/terminal.ts";

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

/** The size of a terminal whose own is not known. */
const DEFAULT_TERMINAL: Terminal = { rows: 24, columns: 80 };

/** Runs the command; the returned number is the exit code. */
export function run(command: readonly string[], options: RunOptions): Promise<number> {
  // Node takes its signal handlers down when it ends by itself, and a signal after that would be its end
  process.once("beforeExit", () => process.exit());
  return runCommand({
    source: rootSource(options),
    machine: readMachine(options),
    wanted: {
      command,
      env: environment(options.env ?? []),
      terminal: options.tty === true ? terminalOf(process) : undefined,
      term: process.env["TERM"] ?? "xterm",
    },
    verbose: options.verbose === true,
  });
}

function rootSource({ rootfs, image }: RunOptions): RootSource {
  if (rootfs !== undefined && image !== undefined) throw invalid("--image", "there is a --rootfs as well");
  if (rootfs !== undefined) return { kind: "directory", path: rootfs };
  return image === undefined ? { kind: "builtin" } : { kind: "archive", path: image };
}

function terminalOf({ stdout }: NodeJS.Process): Terminal {
  return stdout.isTTY ? { rows: stdout.rows, columns: stdout.columns } : DEFAULT_TERMINAL;
}

function environment(given: readonly string[]): string[] {
  return given.map((entry) => {
    if (entry.startsWith("=") || entry === "") throw invalid("--env", `"${entry}" has no name`);
    if (entry.includes("=")) return entry;
    const value = process.env[entry];
    if (value !== undefined) return `${entry}=${value}`;
    throw invalid("--env", `${entry} has no value here`, `give one: --env ${entry}=VALUE`);
  });
}

function invalid(subject: string, reason: string, remedy?: string): BlazarError {
  return misuse(reason, { subject, remedy });
}
