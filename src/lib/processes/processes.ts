/**
 * What /proc says about a process: proc_pid_stat(5).
 *
 * The kernel uses a pid again after its process has ended. So a process is known by its pid and start time together.
 */
import { readFile } from "node:fs/promises";

/** What tells a process from a later one with the same pid. */
export interface ProcessKey {
  readonly pid: number;
  /** Field 22 of /proc/PID/stat, in clock ticks since the boot. */
  readonly startTime: number;
}

export interface ProcessStat {
  /** Field 3: `R`, `S`, `D`, `Z`, … */
  readonly state: string;
  readonly startTime: number;
  /** Field 4. */
  readonly parent: number;
  /** Field 6: the pid of whoever leads its session. */
  readonly session: number;
  /** Fields 14 and 15: what all threads have used, in milliseconds. */
  readonly cpuMs: number;
  /** Field 24, in bytes. */
  readonly residentBytes: number;
}

/** Fields are counted from 1 in the manual; the first after the name is the third. */
const FIRST_FIELD = 3;
const PARENT = 4;
const SESSION = 6;
const USER_TIME = 14;
const SYSTEM_TIME = 15;
const START_TIME = 22;
const RESIDENT_PAGES = 24;
/** Of the platforms that there are VMs for. */
const PAGE_BYTES = 4096;
/** Of a clock tick of /proc: sysconf(_SC_CLK_TCK) is 100 on Linux. */
const TICK_MS = 10;

/** Undefined if there is no such process. */
export async function processStat(pid: number): Promise<ProcessStat | undefined> {
  const stat = await readFile(`/proc/${pid}/stat`, "latin1").catch(() => undefined);
  return stat === undefined ? undefined : parseProcessStat(stat);
}

/** The name in parentheses may hold anything, spaces and parentheses included. */
export function parseProcessStat(stat: string): ProcessStat | undefined {
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const [state, startTime] = [fields[0], Number(fields[START_TIME - FIRST_FIELD])];
  const ticks = Number(fields[USER_TIME - FIRST_FIELD]) + Number(fields[SYSTEM_TIME - FIRST_FIELD]);
  const residentBytes = Number(fields[RESIDENT_PAGES - FIRST_FIELD]) * PAGE_BYTES;
  const parent = Number(fields[PARENT - FIRST_FIELD]);
  const session = Number(fields[SESSION - FIRST_FIELD]);
  const known = state !== undefined && Number.isInteger(startTime);
  return known ? { state, startTime, parent, session, cpuMs: ticks * TICK_MS, residentBytes } : undefined;
}

/** True while this very process runs. A zombie does not run, and a later process with its pid is another one. */
export async function isAlive({ pid, startTime }: ProcessKey): Promise<boolean> {
  const stat = await processStat(pid);
  return stat?.startTime === startTime && stat.state !== "Z" && stat.state !== "X";
}

/**
 * True if it has certainly ended. What cannot be read, for want of descriptors for example, says nothing.
 * @param startTime undefined: not known, so that a later process with its pid is taken for it
 */
export async function hasEnded({
  pid,
  startTime,
}: {
  readonly pid: number;
  readonly startTime: number | undefined;
}): Promise<boolean> {
  try {
    const stat = parseProcessStat(await readFile(`/proc/${pid}/stat`, "latin1"));
    if (stat === undefined) return false;
    const isAnother = startTime !== undefined && stat.startTime !== startTime;
    return isAnother || stat.state === "Z" || stat.state === "X";
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    return code === "ENOENT" || code === "ESRCH";
  }
}
