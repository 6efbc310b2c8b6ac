/**
 * The host's processes as proc(5) lists them: found by words of their command lines, or by their parents.
 *
 * Everything the lab starts has the lab's directory in its command line. So it is found again after any failure.
 */
import { readdir, readFile, readlink } from "node:fs/promises";

export interface ProcessInfo {
  readonly pid: number;
  readonly parent: number;
  /** Its arguments with spaces between; "" for a kernel thread. */
  readonly command: string;
}

/** Every process of the machine. */
export async function allProcesses(): Promise<ProcessInfo[]> {
  const names = (await readdir("/proc")).filter((name) => /^\d+$/.test(name));
  const found = await Promise.all(names.map((name) => readProcess(Number(name))));
  return found.filter((each) => each !== undefined);
}

async function readProcess(pid: number): Promise<ProcessInfo | undefined> {
  try {
    const [command, status] = await Promise.all([
      readFile(`/proc/${pid}/cmdline`, "utf8"),
      readFile(`/proc/${pid}/status`, "utf8"),
    ]);
    const [, parent] = /^PPid:\s+(\d+)$/m.exec(status) ?? [];
    return { pid, parent: Number(parent ?? 0), command: command.replaceAll("\0", " ").trim() };
  } catch {
    return undefined;
  }
}

/** Processes with one of these strings in their command line; this process is left out. */
export async function processesOf(needles: readonly string[]): Promise<ProcessInfo[]> {
  const fits = ({ pid, command }: ProcessInfo) =>
    pid !== process.pid && needles.some((needle) => command.includes(needle));
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

/** Sends SIGKILL to every process with this string in its command line. One that has ended meanwhile is fine. */
export async function killProcessesOf(needle: string): Promise<void> {
  for (const { pid } of await processesOf([needle])) {
    try {
      process.kill(pid, "SIGKILL");
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
    }
  }
}
