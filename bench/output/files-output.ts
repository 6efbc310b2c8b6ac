/**
 * The results of `files`: tables, a figure and the last line's part. What the figures mean is in bench/files/figures.ts.
 */
import * as Plot from "@observablehq/plot";
import {
  type Budget,
  computingRatio,
  FILE_BUDGETS,
  type FilePhase,
  fileRatio,
  fileTimes,
  fileVariants,
  fileWork,
  overComputing,
} from "../files/figures.ts";
import { COMPUTING } from "../files/work.ts";
import { BASELINE } from "../node/variants.ts";
import { describeRatio } from "../stats/ratio.ts";
import { median } from "../stats/summary.ts";
import type { Figure } from "./drawing.ts";
import type { FilesResults } from "./results.ts";
import type { Table } from "./tables.ts";
import { INK, MUTED, seriesColour } from "./theme.ts";

const PHASES: readonly FilePhase[] = ["first", "again"];

/** Times, ratios and budgets. */
export function filesTables(files: FilesResults, seed: number): Table[] {
  return [timesTable(files, seed), ratioTable(files, seed), budgetTable(files, seed)];
}

function timesTable(files: FilesResults, seed: number): Table {
  const variants = [...fileVariants(files), BASELINE];
  const rows = fileWork(files).flatMap((work) =>
    PHASES.map((phase) => {
      const cells = variants.map((variant) => {
        const times = fileTimes(files, variant, work, phase);
        return times.length === 0 ? "" : milliseconds(median(times));
      });
      const count = fileTimes(files, BASELINE, work, phase).length;
      return [work, phase, String(count), ...cells];
    }),
  );
  return {
    title: "Files: medians, ms",
    head: ["", "", "n", ...variants],
    rows,
    notes: [
      `Image: \`${files.image.name}\`, ${files.image.names} names.`,
      ...files.work.map(({ name, what }) => `${name}: ${what}`),
      ...fileVariants(files).flatMap((variant) => {
        const ratio = fileRatio(files, variant, COMPUTING, "first", seed);
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
    rows: fileWork(files)
      .filter((work) => work !== COMPUTING)
      .flatMap((work) =>
        PHASES.map((phase) => {
          const cells = variants.map((variant) => {
            const ratio = overComputing(files, variant, work, phase, seed);
            if (ratio === null) return "";
            const { interval } = ratio;
            const range =
              interval === null ? "" : ` (${interval.low.toFixed(2)} to ${interval.high.toFixed(2)})`;
            return `${ratio.ratio.toFixed(2)}${range}`;
          });
          return [work, phase, ...cells];
        }),
      ),
    notes: ["In brackets: 95 % intervals, where there are five samples or more."],
  };
}

function budgetTable(files: FilesResults, seed: number): Table {
  const variants = fileVariants(files);
  return {
    title: "Files: budgets",
    head: ["", "", "budget", ...variants],
    rows: FILE_BUDGETS.map((budget) => {
      const cells = variants.map((variant) => {
        const ratio = overComputing(files, variant, budget.work, budget.phase, seed)?.ratio;
        if (ratio === undefined) return "not measured";
        return `${ratio.toFixed(2)}: ${ratio <= budget.most ? "met" : "missed"}`;
      });
      return [budget.work, budget.phase, `≤ ${budget.most}`, ...cells];
    }),
    notes: [],
  };
}

interface Bar {
  readonly variant: string;
  readonly phase: FilePhase;
  readonly work: string;
  readonly ratio: number;
}

/** The ratios over computing, on a logarithmic axis: 1 is what computing costs, and marks are the budgets. */
export function filesFigure(files: FilesResults, seed: number, subtitle: string): Figure {
  const variants = fileVariants(files);
  const work = fileWork(files).filter((name) => name !== COMPUTING);
  const bars = variants.flatMap((variant) =>
    work.flatMap((name) =>
      PHASES.flatMap((phase): Bar[] => {
        const ratio = overComputing(files, variant, name, phase, seed)?.ratio;
        return ratio === undefined ? [] : [{ variant, phase, work: name, ratio }];
      }),
    ),
  );
  const label = (of: { work: string; phase: FilePhase }) => `${of.work}, ${of.phase}`;
  const rows = work.flatMap((name) => PHASES.map((phase) => label({ work: name, phase })));
  const range = variants.map((_, index) => seriesColour(index === 0 ? 0 : index + 1));
  const budgets = FILE_BUDGETS.filter((budget) => rows.includes(label(budget)));
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
        Plot.dot(bars, { x: "ratio", y: label, fill: "variant", r: 5 }),
        Plot.text(bars, { x: "ratio", y: label, text: ({ ratio }: Bar) => ratio.toFixed(1), dy: -9 }),
        Plot.tickX(budgets, {
          x: ({ most }: Budget) => most,
          y: label,
          stroke: MUTED,
          strokeDasharray: "3 2",
        }),
      ],
    },
  };
}

/** `{"image":…,"computing":{…},"ratios":{"images":{"find":{"first":…,"again":…},…},…},"budgets":{…}}`. */
export function filesPart(files: FilesResults, seed: number): Record<string, unknown> {
  const variants = fileVariants(files);
  const over = (variant: string, work: string, phase: FilePhase) =>
    rounded(overComputing(files, variant, work, phase, seed)?.ratio);
  const ofVariants = <T>(value: (variant: string) => T) =>
    Object.fromEntries(variants.map((variant) => [variant, value(variant)]));
  return {
    image: files.image.name,
    computing: ofVariants((variant) => rounded(computingRatio(files, variant))),
    ratios: ofVariants((variant) =>
      Object.fromEntries(
        fileWork(files)
          .filter((work) => work !== COMPUTING)
          .map((work) => [
            work,
            { first: over(variant, work, "first"), again: over(variant, work, "again") },
          ]),
      ),
    ),
    budgets: ofVariants((variant) =>
      FILE_BUDGETS.map(({ work, phase, most }) => {
        const ratio = over(variant, work, phase);
        return { work, phase, most, ratio, met: ratio === null ? null : ratio <= most };
      }),
    ),
  };
}

function rounded(value: number | null | undefined): number | null {
  return value === null || value === undefined ? null : Math.round(value * 1000) / 1000;
}

function milliseconds(value: number): string {
  return value.toFixed(value < 10 ? 1 : 0);
}
