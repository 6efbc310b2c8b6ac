/**
 * Gives memory of the whole process back to the kernel: madvise(2), malloc_trim(3), proc_pid_maps(5).
 *
 * Program text stays in memory once it was used. Half of Node's text is needed only when the process or a thread starts.
 * Nothing is lost: MADV_PAGEOUT does not discard pages, and text that is needed again is read from its file. A process
 * that may not do this is refused without harm.
 */
import { readFileSync } from "node:fs";
import { pageOut, trimHeap } from "./libc/libc.ts";

/** Where a mapping begins and how long it is, in bytes. */
export interface Mapping {
  readonly start: number;
  readonly length: number;
}

const LINE = /^([0-9a-f]+)-([0-9a-f]+) (\S{4}) \S+ \S+ \d+ +(\/.*)$/;

/** The read-only mappings of files: text and constants of programs and libraries. */
export function textMappings(maps: string): Mapping[] {
  return maps.split("\n").flatMap((line) => {
    const [, from = "", to = "", permissions = ""] = LINE.exec(line) ?? [];
    if (!permissions.startsWith("r") || permissions.includes("w")) return [];
    const start = Number.parseInt(from, 16);
    return [{ start, length: Number.parseInt(to, 16) - start }];
  });
}

/** Pages out program text that no other process uses. A mapping that is refused stays in memory. */
export function pageOutText(): void {
  for (const { start, length } of textMappings(readFileSync("/proc/self/maps", "utf8")))
    pageOut(start, length);
}

/** Collects this thread's garbage, then gives back the freed memory that malloc has kept. */
export function trimFreedMemory(): void {
  globalThis.gc?.();
  trimHeap();
}
