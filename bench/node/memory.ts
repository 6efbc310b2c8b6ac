/**
 * Memory of processes as proc(5) has it: proportional (PSS) and anonymous, from smaps_rollup.
 *
 * The daemon is counted as if it were the only Node process of the machine. It runs on its own copy of the Node
 * binary (runtime.ts), so that no other process shares its text. It still shares the C++ libraries of Node with this
 * process: those are counted in full. A process that has ended meanwhile counts nothing.
 */
import { readFile } from "node:fs/promises";
import { basename } from "node:path";

/** In bytes. */
export interface Memory {
  readonly pss: number;
  readonly anonymous: number;
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
