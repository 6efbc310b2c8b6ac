/**
 * Gives memory of the whole process back to the kernel: madvise(2), malloc_trim(3), proc_pid_maps(5).
 *
 * Program text is kept in memory once it has been touched. Half of Node's is needed at its start and at the start of
 * threads only; what is dropped here and needed again is read again from its file. Nothing is lost: MADV_PAGEOUT moves pages, it does not
 * discard them, and who may not do it is refused without harm.
 */
import { readFileSync } from "node:fs";
import { pageOut, trimHeap } from "./libc.ts";

/** Where a mapping begins and how long it is, in bytes. */
export interface Mapping {
  readonly start: number;
  readonly length: number;
}

const LINE = /^([0-9a-f]+)-([0-9a-f]+) (\S{4}) \S+ \S+ \d+ +(\/.*)$/;

/** The mappings of files that cannot be written to: text and constants of programs and libraries. */
export function textMappings(maps: string): Mapping[] {
  return maps.split("\n").flatMap((line) => {
    const [, from = "", to = "", permissions = ""] = LINE.exec(line) ?? [];
    if (!permissions.startsWith("r") || permissions.includes("w")) return [];
    const start = Number.parseInt(from, 16);
    return [{ start, length: Number.parseInt(to, 16) - start }];
  });
}

/** Drops all program text that is resident here and nowhere else. What is refused stays. */
export function pageOutText(): void {
  for (const { start, length } of textMappings(readFileSync("/proc/self/maps", "utf8")))
    pageOut(start, length);
}

/** Collects this thread's garbage and returns what malloc keeps of freed memory. */
export function trimFreedMemory(): void {
  globalThis.gc?.();
  trimHeap();
}
