/**
 * Finds the file for `args[0]`, as a shell and runc do.
 *
 * Runs in the child, inside the container's root, in its working directory and with its final credentials. So "not found"
 * and "permission denied" are what the process itself would see.
 */
import * as sys from "sys";
import { reasonOfErrno } from "../../../native/runtime/check.ts";
import { type BlazarError, blazarError } from "../../../src/contracts/errors.ts";

const DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const EXECUTE = 1;

/**
 * The path to execute. Throws CommandNotFound or CommandNotExecutable: also where a part of PATH that is not absolute leads to
 * the command, which Go's LookPath refuses.
 */
export function findCommand(name: string, env: readonly string[]): string {
  if (name.includes("/")) {
    const problem = executable(name);
    if (problem !== 0) throw commandError(name, problem, "");
    return name;
  }
  let worst = sys.ENOENT;
  const path = searchPath(env);
  for (const directory of name === "" || path === "" ? [] : path.split(":")) {
    const candidate = `${directory === "" ? "." : directory}/${name}`;
    const problem = executable(candidate);
    if (problem === 0) return checkedAbsolute(candidate, name);
    if (problem !== sys.ENOENT && problem !== sys.ENOTDIR) worst = problem;
  }
  throw commandError(name, worst, worst === sys.ENOENT ? "executable file not found in $PATH: " : "");
}

function checkedAbsolute(path: string, name: string): string {
  if (path.startsWith("/")) return path;
  const reason = `PATH leads to ${path}, relative to the working directory`;
  const remedy = "give the command's whole path, or a PATH of absolute directories";
  throw blazarError("CommandNotExecutable", "run the command", reason, { subject: name, remedy });
}

/** The error of execve(2) for a command. */
export function commandError(name: string, errno: number, hint: string): BlazarError {
  const missing = errno === sys.ENOENT || errno === sys.ENOTDIR;
  return blazarError(
    missing ? "CommandNotFound" : "CommandNotExecutable",
    "run the command",
    `${hint}${reasonOfErrno(errno)}`,
    { subject: name },
  );
}

function searchPath(env: readonly string[]): string {
  const entry = env.find((each) => each.startsWith("PATH="));
  return entry === undefined ? DEFAULT_PATH : entry.slice("PATH=".length);
}

/** 0 if the file can be executed, else an errno. */
function executable(path: string): number {
  const stat = sys.stat(path);
  if (typeof stat === "number") return -stat;
  if ((stat.mode & sys.S_IFMT) === sys.S_IFDIR) return sys.EISDIR;
  return -sys.access(path, EXECUTE);
}

/** Throws InvalidSpec if execve(2) could not take it as it is meant. */
export function checkedProcess<P extends { args: readonly string[]; env: readonly string[]; cwd: string }>(
  process: P,
): P {
  const texts = [...process.args, ...process.env, process.cwd];
  const problem =
    process.args.length === 0
      ? "args is empty"
      : texts.some((text) => text.includes("\0"))
        ? "an argument, a variable or the working directory contains a NUL"
        : undefined;
  if (problem === undefined) return process;
  throw blazarError("InvalidSpec", "read the spec of a process", problem);
}
