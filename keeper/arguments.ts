/** The keeper's command line, which is all of its configuration. Pure. */
import { type BlazarError, blazarError } from "../src/contracts/errors.ts";

export interface Arguments {
  /** Where the daemon connects. */
  readonly control: string;
  /** Where containerd's Task connections come. */
  readonly task: string;
  /** Permissions of both sockets. */
  readonly socketMode: number;
}

export const USAGE = "usage: keeper --control PATH --task PATH [--socket-mode 0600]";

/** Throws InvalidArgument naming the option. `args` without the program's name. */
export function parseArguments(args: readonly string[]): Arguments {
  const given = new Map<string, string>();
  for (let index = 0; index < args.length; index += 2) {
    const name = args[index] ?? "";
    const value = args[index + 1];
    if (!["--control", "--task", "--socket-mode"].includes(name))
      throw invalid(name, "there is no such option");
    if (value === undefined) throw invalid(name, "its value is missing");
    given.set(name, value);
  }
  return {
    control: path(given, "--control"),
    task: path(given, "--task"),
    socketMode: mode(given.get("--socket-mode") ?? "0600"),
  };
}

function path(given: ReadonlyMap<string, string>, name: string): string {
  const value = given.get(name);
  if (value === undefined) throw invalid(name, "it is missing");
  if (!value.startsWith("/")) throw invalid(name, `${value} is no absolute path`);
  return value;
}

function mode(text: string): number {
  if (!/^0?[0-7]{3}$/.test(text)) throw invalid("--socket-mode", `${text} is no octal mode such as 0600`);
  return Number.parseInt(text, 8);
}

function invalid(option: string, reason: string): BlazarError {
  return blazarError("InvalidArgument", "read the command line", reason, { subject: option, remedy: USAGE });
}
