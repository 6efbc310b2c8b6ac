/**
 * Memory of processes as proc(5) has it: proportional (PSS) and anonymous, from smaps_rollup.
 *
 * The daemon is to be counted as if it were the only Node process of the machine. Its Node binary is a copy of its
 * own (bench-node.ts), so that no other process shares its text; what remains shared with this process are the C++
 * libraries of Node, and those are counted in full here. A process that has ended meanwhile counts nothing.
 */
import { readdir, readFile, readlink } from "node:fs/promises";
import { basename, join } from "node:path";

/** In bytes. */
export interface Memory {
  readonly pss: number;
  readonly anonymous: number;
}

export interface ProcessInfo {
  readonly pid: number;
  readonly parent: number;
  readonly command: string;
}

/** Libraries that only Node maps here. The C library is everybody's. */
const LIBRARIES_OF_NODE = /^(libstdc\+\+|libgcc_s|libnode|libv8|libuv|libicu)/;
const KIB = 1024;

/** Null if there is no such process. */
export async function memoryOf(pid: number): Promise<Memory | null> {
  const rollup = await readFile(`/proc/${pid}/smaps_rollup`, "utf8").catch(() => "");
  return rollup === "" ? null : parseRollup(rollup);
}

/** As {@link memoryOf}, with the libraries that it shares with other Node processes counted in full. */
export async function memoryOfOnlyNode(pid: number): Promise<Memory | null> {
  const memory = await memoryOf(pid);
  if (memory === null) return null;
  const maps = await readFile(`/proc/${pid}/smaps`, "utf8").catch(() => "");
  return { ...memory, pss: memory.pss + sharedLibraryBytes(maps) };
}

/** Several processes together. */
export async function memoryOfAll(pids: readonly number[]): Promise<Memory> {
  const all = await Promise.all(pids.map(memoryOf));
  return all.reduce<Memory>(
    (sum, each) => ({
      pss: sum.pss + (each?.pss ?? 0),
      anonymous: sum.anonymous + (each?.anonymous ?? 0),
    }),
    { pss: 0, anonymous: 0 },
  );
}

/** Reads a smaps_rollup. */
export function parseRollup(text: string): Memory {
  return { pss: field(text, "Pss"), anonymous: field(text, "Anonymous") };
}

/** What the proportional size leaves out of the libraries of Node that are resident, in bytes. */
export function sharedLibraryBytes(smaps: string): number {
  let hidden = 0;
  for (const mapping of smaps.split(/\n(?=[0-9a-f]+-[0-9a-f]+ )/)) {
    const file = mapping.slice(0, mapping.indexOf("\n")).split(/\s+/)[5] ?? "";
    if (LIBRARIES_OF_NODE.test(basename(file))) hidden += field(mapping, "Rss") - field(mapping, "Pss");
  }
  return hidden;
}

function field(text: string, name: string): number {
  const [, kib] = new RegExp(`^${name}:\\s+(\\d+) kB`, "m").exec(text) ?? [];
  return Number(kib ?? 0) * KIB;
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
      readFile(join("/proc", String(pid), "cmdline"), "utf8"),
      readFile(join("/proc", String(pid), "status"), "utf8"),
    ]);
    const [, parent] = /^PPid:\s+(\d+)$/m.exec(status) ?? [];
    return { pid, parent: Number(parent ?? 0), command: command.replaceAll("\0", " ").trim() };
  } catch {
    return undefined;
  }
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

/** The program file of a process; "" if it is gone. */
export function programOf(pid: number): Promise<string> {
  return readlink(`/proc/${pid}/exe`).catch(() => "");
}
