/**
 * What the samples of `files` say: ratios to runc, and what is left of them once plain computing is taken out.
 *
 * A guest under emulation computes slower than its host, whatever it does with files. The ratio of {@link COMPUTING} says
 * how much slower. A ratio divided by it is what files cost beyond that. Budgets are in these. Pure.
 */
import type { FileSample, FilesResults } from "../output/results.ts";
import { type Ratio, ratioOfMedians, ratioOfRatios } from "../stats/ratio.ts";
import { median } from "../stats/summary.ts";
import { COMPUTING } from "./work.ts";

/** The variant that others are divided by. */
const BASE = "runc";

/** The first time in a new pod, and the time right after. */
export type FilePhase = FileSample["phase"];

/** A budget of a ratio over computing. */
export interface Budget {
  readonly work: string;
  readonly phase: FilePhase;
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

/** The samples' times. */
export function fileTimes(
  { samples }: FilesResults,
  variant: string,
  work: string,
  phase?: FilePhase,
): number[] {
  return samples
    .filter(
      (each) =>
        each.variant === variant && each.work === work && (phase === undefined || each.phase === phase),
    )
    .map(({ ms }) => ms);
}

/** Those that are compared with runc, in a fixed order. */
export function fileVariants({ samples }: FilesResults): string[] {
  return [...new Set(samples.map(({ variant }) => variant))].filter((name) => name !== BASE).sort();
}

/** What there are samples of, in the order of the tables. */
export function fileWork(files: FilesResults): string[] {
  return files.work.map(({ name }) => name).filter((name) => fileTimes(files, BASE, name).length > 0);
}

/** The ratio to runc; null without samples. */
export function fileRatio(
  files: FilesResults,
  variant: string,
  work: string,
  phase: FilePhase,
  seed: number,
): Ratio | null {
  return ratioOfMedians(fileTimes(files, variant, work, phase), fileTimes(files, BASE, work, phase), seed);
}

/** The same, divided by the ratio of computing in the same run. Both times of it count: there is nothing to keep. */
export function overComputing(
  files: FilesResults,
  variant: string,
  work: string,
  phase: FilePhase,
  seed: number,
): Ratio | null {
  const of = (name: string, which: string, when?: FilePhase) => fileTimes(files, name, which, when);
  return ratioOfRatios(
    { over: of(variant, work, phase), under: of(BASE, work, phase) },
    { over: of(variant, COMPUTING), under: of(BASE, COMPUTING) },
    seed,
  );
}

/** How much slower the variant computes; null without samples. */
export function computingRatio(files: FilesResults, variant: string): number | null {
  const [over, under] = [fileTimes(files, variant, COMPUTING), fileTimes(files, BASE, COMPUTING)];
  return over.length === 0 || under.length === 0 ? null : median(over) / median(under);
}
