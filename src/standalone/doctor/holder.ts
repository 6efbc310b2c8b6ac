/**
 * Which daemon has a state directory, where none answers: it may be stopped, hang, or have lost its sockets.
 *
 * The lock itself is not tried: a daemon that starts meanwhile would be refused.
 */
import { readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { LOCK_FILE } from "../../daemon/state-lock.ts";
import { processStat } from "../../lib/processes/processes.ts";

export interface Holder {
  readonly pid: number;
  /** By proc_pid_stat(5): `T` is stopped. */
  readonly state: string;
}

/** Undefined: nobody has it, or the lock's file does not say who. @param proc where proc(5) is */
export async function holderOf(stateDirectory: string, proc = "/proc"): Promise<Holder | undefined> {
  const path = join(stateDirectory, LOCK_FILE);
  const text = (await readFile(path, "utf8").catch(() => "")).trim();
  const lock = await stat(path).catch(() => undefined);
  if (lock === undefined || !/^[1-9]\d*$/.test(text)) return undefined;
  const descriptors = join(proc, text, "fd");
  for (const number of await readdir(descriptors).catch(() => [])) {
    const open = await stat(join(descriptors, number)).catch(() => undefined);
    if (open?.dev !== lock.dev || open.ino !== lock.ino) continue;
    const state = (await processStat(Number(text)))?.state;
    return state === undefined ? undefined : { pid: Number(text), state };
  }
  return undefined;
}

/** Whoever serves a socket, if its command line names it: a keeper. Undefined: nobody is found. */
export async function processNaming(words: readonly string[], proc = "/proc"): Promise<Holder | undefined> {
  const pids = (await readdir(proc).catch(() => [])).filter((name) => /^[1-9]\d*$/.test(name));
  for (const pid of pids) {
    const line = await readFile(join(proc, pid, "cmdline"), "utf8").catch(() => "");
    const given = line.split("\0");
    const at = given.indexOf(words[0] ?? "");
    if (at < 0 || words.some((word, index) => given[at + index] !== word)) continue;
    const state = (await processStat(Number(pid)))?.state;
    if (state !== undefined) return { pid: Number(pid), state };
  }
  return undefined;
}
