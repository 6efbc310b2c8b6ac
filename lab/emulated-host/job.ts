/**
 * What one run of an emulated host is about, as the shell text that guest/init.sh and guest/run.sh read.
 *
 * The command's environment is the caller's, as far as tools of this checkout look at it; there is no network in it, so what is
 * about one stays outside.
 */
import type { HostRequest } from "./arguments.ts";

/** Where the directory of `--output` is in the emulated host. */
export const OUTPUT_AT = "/output";

/** A window, in cells. */
export interface Window {
  readonly rows: number;
  readonly columns: number;
}

export interface Job {
  readonly request: Pick<HostRequest, "kind" | "command" | "output">;
  readonly checkout: string;
  readonly cache: string;
  /** Where the command starts. */
  readonly directory: string;
  readonly kernel: { readonly release: string; readonly modules: string };
  /** Node's program of the machine; undefined: the emulated host has its own. */
  readonly node: string | undefined;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Undefined: pipes. */
  readonly window: Window | undefined;
  /** What a stream ends with. */
  readonly end: string;
}

const PASSED = /^(BLAZAR_|NODE_|LC_)|^(LANG|TERM|COLORTERM|NO_COLOR|FORCE_COLOR|CI|SHELL|USER|HOME|PATH)$/;
/** These name places of the machine's, which a Debian of its own does not have. */
const OF_THE_MACHINE = /^(SHELL|USER|HOME|PATH)$/;

/** Assignments, one a line or more. */
export function jobText(job: Job): string {
  const { request, kernel, window } = job;
  const values: Readonly<Record<string, string>> = {
    KIND: request.kind,
    CHECKOUT: job.checkout,
    CACHE: job.cache,
    MODULES: kernel.modules,
    RELEASE: kernel.release,
    NODE: job.node ?? "",
    OUTPUT: request.output ?? "",
    OUTPUT_AT: `/newroot${OUTPUT_AT}`,
    END: job.end,
    TERMINAL: window === undefined ? "0" : "1",
    ROWS: `${window?.rows ?? 0}`,
    COLUMNS: `${window?.columns ?? 0}`,
    COMMAND: commandText(job),
  };
  return Object.entries(values)
    .map(([name, value]) => `${name}=${quoted(value)}\n`)
    .join("");
}

/** The script that the command is: its environment, its directory, itself. */
function commandText({ request, environment, directory, checkout, cache }: Job): string {
  const variables = Object.entries({ ...environment, BLAZAR_ROOT: checkout, BLAZAR_CACHE: cache }).flatMap(
    ([name, value]) => {
      const passed = PASSED.test(name) && !(request.kind === "systemd" && OF_THE_MACHINE.test(name));
      return passed && value !== undefined ? [`export ${name}=${quoted(value)}`] : [];
    },
  );
  return [
    ...(request.kind === "systemd" ? ["export HOME=/root"] : []),
    ...variables,
    `cd ${quoted(directory)}`,
    `exec ${request.command.map(quoted).join(" ")}`,
  ].join("\n");
}

/** One word of the shell's (POSIX, 2.2.2). */
export function quoted(word: string): string {
  return `'${word.replaceAll("'", "'\\''")}'`;
}
