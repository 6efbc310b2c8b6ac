/**
 * The results of `files`: tables, a figure and the last line's part. What the figures mean is in bench/files/figures.ts.
 */
import * as Plot from "@observablehq/plot";
import {
  type Budget,
  computingRatio,
  computingTimes,
  FILE_BUDGETS,
  type FileWork,
  fileSamples,
  fileVariants,
  fileWork,
  overComputing,
} from "../files/figures.ts";
import { COMPUTING } from "../files/work.ts";
import { BASELINE } from "../node/variants.ts";
import { describeRatio, type Ratio } from "../stats/ratio.ts";
import { median } from "../stats/summary.ts";
import type { Figure } from "./drawing.ts";
import type { FilesResults, PageCacheSample } from "./results.ts";
import type { Table } from "./table.ts";
import { INK, MUTED, seriesColour } from "./theme.ts";

const MIB = 2 ** 20;

/** Times, ratios and budgets. */
export function filesTables(files: FilesResults, seed: number): Table[] {
  return [timesTable(files, seed), ratioTable(files, seed), budgetTable(files, seed)];
}

function timesTable(files: FilesResults, seed: number): Table {
  const variants = [...fileVariants(files), BASELINE];
  const middle = (times: readonly number[]) => (times.length === 0 ? "" : milliseconds(median(times)));
  const computing = variants.map((variant) => computingTimes(files, variant));
  const rows = fileWork(files).map((what) => {
    const samples = variants.map((variant) => fileSamples(files, variant, what));
    const cells = samples.map((each) => middle(each.map(({ ms }) => ms)));
    return [what.work, what.phase, String(samples.at(-1)?.length), ...cells];
  });
  return {
    title: "Files: medians, ms",
    head: ["", "", "n", ...variants],
    rows: [[COMPUTING.name, "", String(computing.at(-1)?.length), ...computing.map(middle)], ...rows],
    notes: [
      `Image: \`${files.image.name}\`, ${files.image.names} names.`,
      ...[COMPUTING, ...files.work].map(({ name, what }) => `${name}: ${what}`),
      ...fileVariants(files).flatMap((variant) => {
        const ratio = computingRatio(files, variant, seed);
        return ratio === null ? [] : [`computing, ${variant} ÷ runc: ${describeRatio(ratio)}`];
      }),
    ],
  };
}

function ratioTable(files: FilesResults, seed: number): Table {
  const variants = fileVariants(files);
  return {
    title: "Files: ratio to runc ÷ ratio of computing",
    head: ["", "", ...variants],
    rows: fileWork(files).map((what) => [
      what.work,
      what.phase,
      ...variants.map((variant) => cell(overComputing(files, variant, what, seed))),
    ]),
    notes: ["In brackets: 95 % intervals, where there are five samples or more."],
  };
}

function cell(ratio: Ratio | null): string {
  if (ratio === null) return "";
  const { interval } = ratio;
  const range = interval === null ? "" : ` (${interval.low.toFixed(2)} to ${interval.high.toFixed(2)})`;
  return `${ratio.ratio.toFixed(2)}${range}`;
}

function budgetTable(files: FilesResults, seed: number): Table {
  const variants = fileVariants(files);
  return {
    title: "Files: budgets",
    head: ["", "", "budget", ...variants],
    rows: FILE_BUDGETS.map((budget) => {
      const cells = variants.map((variant) => {
        const ratio = overComputing(files, variant, budget, seed)?.ratio;
        if (ratio === undefined) return "not measured";
        return `${ratio.toFixed(2)}: ${ratio <= budget.most ? "met" : "missed"}`;
      });
      return [budget.work, budget.phase, `≤ ${budget.most}`, ...cells];
    }),
    notes: [],
  };
}

interface Point {
  readonly variant: string;
  readonly row: string;
  readonly ratio: number;
}

/** The ratios over computing, on a logarithmic axis: 1 is what computing costs. Dashes are the budgets. */
export function filesFigure(files: FilesResults, seed: number, subtitle: string): Figure {
  const variants = fileVariants(files);
  const row = ({ work, phase }: FileWork) => `${work}, ${phase}`;
  const work = fileWork(files);
  const points = variants.flatMap((variant) =>
    work.flatMap((what): Point[] => {
      const ratio = overComputing(files, variant, what, seed)?.ratio;
      return ratio === undefined ? [] : [{ variant, row: row(what), ratio }];
    }),
  );
  const rows = work.map(row);
  const range = variants.map((_, index) => seriesColour(index === 0 ? 0 : index + 1));
  const budgets = FILE_BUDGETS.filter((budget) => rows.includes(row(budget)));
  return {
    name: "files",
    title: "Files: ratio to runc, divided by what computing costs",
    subtitle,
    legend: [
      ...variants.map((name, index) => ({ label: `blazar, ${name}`, colour: range[index] ?? INK })),
      { label: "budget", colour: MUTED, dashed: true },
    ],
    plot: {
      color: { domain: variants, range },
      height: 90 + 26 * rows.length,
      marginLeft: 180,
      marginRight: 60,
      x: { label: "times (logarithmic)", type: "log", grid: true, tickFormat: "~s" },
      y: { label: null, domain: rows },
      marks: [
        Plot.ruleX([1], { stroke: INK }),
        Plot.dot(points, { x: "ratio", y: "row", fill: "variant", r: 5 }),
        Plot.text(points, { x: "ratio", y: "row", text: ({ ratio }: Point) => ratio.toFixed(1), dy: -9 }),
        Plot.tickX(budgets, { x: ({ most }: Budget) => most, y: row, stroke: MUTED, strokeDasharray: "3 2" }),
      ],
    },
  };
}

/** `{"image":…,"computing":{…},"ratios":{"images":{"find":{"first":…,"again":…},…},…},"budgets":{…}}`. */
export function filesPart(files: FilesResults, seed: number): Record<string, unknown> {
  const variants = fileVariants(files);
  const over = (variant: string, what: FileWork) => rounded(overComputing(files, variant, what, seed));
  const ofVariants = <T>(value: (variant: string) => T) =>
    Object.fromEntries(variants.map((variant) => [variant, value(variant)]));
  return {
    image: files.image.name,
    computing: ofVariants((variant) => rounded(computingRatio(files, variant, seed))),
    ratios: ofVariants((variant) => {
      const phases = (work: string) => {
        const of = fileWork(files).filter((each) => each.work === work);
        return Object.fromEntries(of.map((what) => [what.phase, over(variant, what)]));
      };
      return Object.fromEntries(fileWork(files).map(({ work }) => [work, phases(work)]));
    }),
    budgets: ofVariants((variant) =>
      FILE_BUDGETS.map((budget) => {
        const ratio = over(variant, budget);
        return { ...budget, ratio, met: ratio === null ? null : ratio <= budget.most };
      }),
    ),
  };
}

/** What the caches of pods of one image take. */
export function pageCacheTable(samples: readonly PageCacheSample[]): Table {
  const [first] = samples;
  const mib = (bytes: number) => (bytes / MIB).toFixed(0);
  return {
    title: `Page cache: ${first?.pods ?? 0} pods of one image have each read ${mib(first?.fileBytes ?? 0)} MiB of it, MiB`,
    head: ["", "available", "host's cache", "sandboxes' PSS", "cache in a guest", "cached of which files"],
    rows: samples.map(({ variant, available, cached, sandboxesPss, guestCached, files }) => [
      variant,
      mib(available),
      mib(cached),
      mib(sandboxesPss),
      variant === BASELINE ? "" : mib(guestCached),
      files.map((file) => `${file.name}: ${mib(file.cached)}`).join(", "),
    ]),
    notes: ["Differences to before the reading, when the host's caches had been dropped."],
  };
}

/** By variant, in MiB for each pod but the host's cache. */
export function pageCachePart(samples: readonly PageCacheSample[]): Record<string, unknown> {
  const whole = (bytes: number) => Math.round(bytes / MIB);
  return Object.fromEntries(
    samples.map(({ variant, pods, available, cached, sandboxesPss }) => [
      variant,
      {
        pods,
        availableMb: whole(available),
        hostCacheMb: whole(cached),
        sandboxPssMb: whole(sandboxesPss / pods),
      },
    ]),
  );
}

function rounded(ratio: Ratio | null): number | null {
  return ratio === null ? null : Math.round(ratio.ratio * 1000) / 1000;
}

function milliseconds(value: number): string {
  return value.toFixed(value < 10 ? 1 : 0);
}
