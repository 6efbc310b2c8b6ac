/**
 * The host's processes as proc(5) lists them: found by words of their command lines and output files, or by their parents.
 *
 * Everything the lab starts has the lab's directory in its command line. What lives in a jail knows no path of the host,
 * but its output goes to a file in that directory. So all of it is found again after any failure.
 */
import { readdir, readFile, readlink } from "node:fs/promises";

export interface ProcessInfo {
  readonly pid: number;
  readonly parent: number;
  /** Its arguments with spaces between; "" for a kernel thread. */
  readonly command: string;
  /** Where its standard error goes: a path, or what proc(5) calls it; "" if that cannot be read. */
  readonly output: string;
}

/** Every process of the machine. */
export async function allProcesses(): Promise<ProcessInfo[]> {
  const names = (await readdir("/proc")).filter((name) => /^\d+$/.test(name));
  const found = await Promise.all(names.map((name) => readProcess(Number(name))));
  return found.filter((each) => each !== undefined);
}

async function readProcess(pid: number): Promise<ProcessInfo | undefined> {
  try {
    const [command, status, output] = await Promise.all([
      readFile(`/proc/${pid}/cmdline`, "utf8"),
      readFile(`/proc/${pid}/status`, "utf8"),
      readlink(`/proc/${pid}/fd/2`).catch(() => ""),
    ]);
    const [, parent] = /^PPid:\s+(\d+)$/m.exec(status) ?? [];
    return { pid, parent: Number(parent ?? 0), command: command.replaceAll("\0", " ").trim(), output };
  } catch {
    return undefined;
  }
}

/**
 * Processes with one of these strings in their command line or their output's path; this process is left out. One without a
 * command line has lost its memory: it is ending, and its files are about to be closed (exit(2) in the kernel's order).
 */
export async function processesOf(needles: readonly string[]): Promise<ProcessInfo[]> {
  const fits = ({ pid, command, output }: ProcessInfo) =>
    pid !== process.pid &&
    command !== "" &&
    needles.some((needle) => command.includes(needle) || output.includes(needle));
  return (await allProcesses()).filter(fits);
}

/** Everything below some processes, without themselves. */
export function descendants(processes: readonly ProcessInfo[], roots: readonly number[]): ProcessInfo[] {
  const found: ProcessInfo[] = [];
  let parents = new Set(roots);
  while (parents.size > 0) {
    const children = processes.filter(({ parent }) => parents.has(parent));
    found.push(...children);
    parents = new Set(children.map(({ pid }) => pid));
  }
  return found;
}

/** The program file of a process; "" if the process is gone. */
export function programOf(pid: number): Promise<string> {
  return readlink(`/proc/${pid}/exe`).catch(() => "");
}

/** Sends SIGKILL to every process that {@link processesOf} finds. One that has ended meanwhile is fine. */
export async function killProcessesOf(needle: string): Promise<void> {
  for (const { pid } of await processesOf([needle])) {
    try {
      process.kill(pid, "SIGKILL");
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
    }
  }
}
