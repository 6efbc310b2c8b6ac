/**
 * What the samples of `files` say: ratios to runc, and what is left of them once plain computing is taken out.
 *
 * A guest under emulation computes slower than its host, whatever it does with files, and a busy machine computes slower
 * still. So each time is also divided by what COMPUTING took in the same pod, right before. The ratio of these quotients
 * is what files cost beyond computing. Budgets are in it. Pure.
 */
import type { FileSample, FilesResults } from "../output/results.ts";
import { type Ratio, ratioOfMedians } from "../stats/ratio.ts";

/** The variant that others are divided by. */
const BASE = "runc";

/** The first time in a new pod, and the time right after. */
export type FilePhase = FileSample["phase"];

/** What is looked at: one piece of work, the first time or again. */
export interface FileWork {
  readonly work: string;
  readonly phase: FilePhase;
}

/** A budget of a ratio over computing. */
export interface Budget extends FileWork {
  readonly most: number;
}

/** docs/performance.md's. */
export const FILE_BUDGETS: readonly Budget[] = [
  { work: "find", phase: "first", most: 8 },
  { work: "find", phase: "again", most: 3 },
  { work: "2,000 small files", phase: "first", most: 8 },
  { work: "2,000 small files", phase: "again", most: 3 },
  { work: "Python start", phase: "again", most: 2 },
  { work: "untar of 1,000 files", phase: "first", most: 3 },
];

const PHASES: readonly FilePhase[] = ["first", "again"];

/** The samples of a variant. */
export function fileSamples(
  { samples }: FilesResults,
  variant: string,
  { work, phase }: FileWork,
): FileSample[] {
  return samples.filter((each) => each.variant === variant && each.work === work && each.phase === phase);
}

/** Those that are compared with runc, in a fixed order. */
export function fileVariants({ samples }: FilesResults): string[] {
  return [...new Set(samples.map(({ variant }) => variant))].filter((name) => name !== BASE).sort();
}

/** What runc has samples of, in the order of the tables. */
export function fileWork(files: FilesResults): FileWork[] {
  return files.work
    .flatMap(({ name }) => PHASES.map((phase) => ({ work: name, phase })))
    .filter((each) => fileSamples(files, BASE, each).length > 0);
}

/** The ratio to runc, over that of computing; null without samples. */
export function overComputing(
  files: FilesResults,
  variant: string,
  what: FileWork,
  seed: number,
): Ratio | null {
  const quotients = (name: string) =>
    fileSamples(files, name, what).map(({ ms, computingMs }) => ms / computingMs);
  return ratioOfMedians(quotients(variant), quotients(BASE), seed);
}

/** What computing took in the variant's pods, once for each pod. */
export function computingTimes({ samples }: FilesResults, variant: string): number[] {
  return samples
    .filter((each) => each.variant === variant && each.phase === "first")
    .map(({ computingMs }) => computingMs);
}

/** How much slower the variant computes than runc; null without samples. */
export function computingRatio(files: FilesResults, variant: string, seed: number): Ratio | null {
  return ratioOfMedians(computingTimes(files, variant), computingTimes(files, BASE), seed);
}
