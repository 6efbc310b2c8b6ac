/**
 * The figures of a results file: distributions in series and in parallel, memory over pods, the parts of a start.
 *
 * Published figures of other systems are dashed lines with a label, never a series.
 */
import * as Plot from "@observablehq/plot";
import { cdf } from "../stats/summary.ts";
import { managers } from "../suites/memory.ts";
import { type Figure, type FigureFormat, writeFigures } from "./drawing.ts";
import { filesFigure } from "./files-output.ts";
import {
  PUBLISHED_LABEL,
  PUBLISHED_MEMORY,
  PUBLISHED_PARALLEL,
  PUBLISHED_SERIAL,
  type Published,
} from "./published.ts";
import type { MemorySample, ParallelSample, Results, SeriesSample } from "./results.ts";
import { inOrder, partsOf, withoutSmallParts } from "./steps.ts";
import { INK, MUTED, seriesColour } from "./theme.ts";

const MIB = 2 ** 20;

/** Draws what the results have data for; returns the files' paths. */
export function drawFigures(
  results: Results,
  directory: string,
  formats: readonly FigureFormat[] = ["svg", "png"],
): Promise<string[]> {
  return writeFigures(directory, figuresOf(results), formats);
}

/** The figures, not yet drawn. */
export function figuresOf(results: Results): Figure[] {
  const { start = [], serial = [], parallel = [], memory = [], density, files } = results;
  const where = subtitleOf(results);
  return [
    ...(start.length === 0
      ? []
      : [seriesFigure("start-cdf", "Start by path: pod and container", start, where)]),
    ...(serial.length === 0
      ? []
      : [seriesFigure("serial-cdf", "Start in series: pod and container", serial, where)]),
    ...(parallel.length === 0 ? [] : [parallelFigure(parallel, where)]),
    ...(memory.length === 0 ? [] : [memoryFigure(memory, where)]),
    ...stepsFigures("start-steps", start, where),
    ...stepsFigures("serial-steps", serial, where),
    ...(density === undefined || density.points.length === 0 ? [] : [densityFigure(density, where)]),
    ...(files === undefined ? [] : [filesFigure(files, results.seed, where)]),
  ];
}

function subtitleOf({ machine, versions, startedAt }: Results): string {
  const acceleration = machine.acceleration === "tcg" ? "software emulation (TCG)" : machine.acceleration;
  const parts = [
    `${machine.cores} cores`,
    acceleration === "" ? undefined : acceleration,
    `containerd ${versions["containerd"] ?? "?"}`,
    `QEMU ${versions["qemu"] ?? "?"}`,
    `Node ${versions["node"] ?? "?"}`,
    startedAt.slice(0, 10),
  ];
  return parts.filter((part) => part !== undefined).join(" · ");
}

interface Line {
  readonly series: string;
  readonly x: number;
  readonly y: number;
}

function cdfLines(times: ReadonlyMap<string, readonly number[]>): Line[] {
  return [...times].flatMap(([series, values]) => {
    const points = cdf(values);
    const first = points[0];
    const from = first === undefined ? [] : [{ series, x: first.value, y: 0 }];
    return [...from, ...points.map(({ value, share }) => ({ series, x: value, y: share * 100 }))];
  });
}

function seriesFigure(
  name: string,
  title: string,
  samples: readonly SeriesSample[],
  subtitle: string,
): Figure {
  const times = grouped(samples, ({ variant, totalMs }) => [variant, [totalMs]]);
  return cdfFigure({ name, title, subtitle, times, published: PUBLISHED_SERIAL, meaning: "p50" });
}

function parallelFigure(samples: readonly ParallelSample[], subtitle: string): Figure {
  const pods = samples[0]?.pods ?? 0;
  return cdfFigure({
    name: "parallel-cdf",
    title: `${pods} pods at once: each pod's own time`,
    subtitle,
    times: grouped(samples, ({ variant, podMs }) => [blazarName(variant), podMs]),
    published: pods === 50 ? PUBLISHED_PARALLEL : [],
    meaning: "all 50 run, p50",
  });
}

interface CdfFigure {
  readonly name: string;
  readonly title: string;
  readonly subtitle: string;
  readonly times: ReadonlyMap<string, readonly number[]>;
  readonly published: readonly Published[];
  /** What a published value is. */
  readonly meaning: string;
}

function cdfFigure({ name, title, subtitle, times, published, meaning }: CdfFigure): Figure {
  const lines = cdfLines(times);
  const { legend, color } = colours([...times.keys()]);
  return {
    name,
    title,
    subtitle,
    legend: [
      ...legend,
      ...published.map(({ system, value }) => ({
        label: `${system}, ${meaning}: ${value} ms (${PUBLISHED_LABEL})`,
        colour: MUTED,
        dashed: true,
      })),
    ],
    plot: {
      color,
      x: { label: "ms (logarithmic)", type: "log", grid: true, tickFormat: "~s" },
      y: { label: "share of pods, %", domain: [0, 100], grid: true },
      marks: [
        Plot.ruleX(published, { x: "value", stroke: MUTED, strokeDasharray: "4 3" }),
        Plot.text(published, { x: "value", y: 100, text: "system", dy: -8, fill: MUTED }),
        Plot.line(lines, { x: "x", y: "y", stroke: "series", strokeWidth: 2.5, curve: "step-after" }),
      ],
    },
  };
}

function memoryFigure(samples: readonly MemorySample[], subtitle: string): Figure {
  const idle = samples.filter(({ phase }) => phase === "idle");
  const name = (handler: string) =>
    handler === "blazar" ? "blazar: daemon and keeper" : `${handler}: shims`;
  const lines = idle.map((sample) => ({
    series: name(sample.handler),
    x: sample.pods,
    y: managers(sample).pss / MIB,
  }));
  const { legend, color } = colours([...new Set(lines.map(({ series }) => series))]);
  const most = Math.max(...lines.map(({ x }) => x));
  return {
    name: "memory",
    title: "Memory of what manages the pods (PSS, idle)",
    subtitle,
    legend,
    plot: {
      color,
      x: { label: "pods", grid: true },
      y: { label: "MiB (logarithmic)", type: "log", grid: true, tickFormat: "~s" },
      marks: [
        ...(most >= 50
          ? [
              Plot.dot(PUBLISHED_MEMORY, { x: 50, y: "value", stroke: MUTED, symbol: "diamond", r: 5 }),
              Plot.text(PUBLISHED_MEMORY, {
                x: 50,
                y: "value",
                text: ({ system, value }: Published) =>
                  `${system}: ${value} MiB at 50 pods (${PUBLISHED_LABEL})`,
                textAnchor: "end",
                dx: -10,
                fill: MUTED,
              }),
            ]
          : []),
        Plot.line(lines, { x: "x", y: "y", stroke: "series", strokeWidth: 2.5 }),
        Plot.dot(lines, { x: "x", y: "y", fill: "series", r: 4 }),
        ...[true, false].map((above) =>
          Plot.text(
            lines.filter(({ series }) => series.startsWith("blazar") === above),
            { x: "x", y: "y", text: ({ y }: Line) => y.toFixed(0), dy: above ? -12 : 14, fill: INK },
          ),
        ),
      ],
    },
  };
}

/** A cold boot takes so much longer than all else that it has a figure of its own. */
function stepsFigures(name: string, samples: readonly SeriesSample[], subtitle: string): Figure[] {
  const cold = samples.filter(({ variant }) => variant === "cold");
  const others = samples.filter(({ variant }) => variant !== "cold");
  const title = "Where the time of a start goes (medians)";
  return [
    ...(others.length === 0 ? [] : [stepsFigure(name, title, others, subtitle)]),
    ...(cold.length === 0 ? [] : [stepsFigure(`${name}-cold`, `${title}: cold boot`, cold, subtitle)]),
  ];
}

function stepsFigure(
  name: string,
  title: string,
  samples: readonly SeriesSample[],
  subtitle: string,
): Figure {
  const parts = withoutSmallParts(partsOf(samples));
  const names = [...new Set(parts.map(({ part }) => part))].sort(inOrder);
  const range = names.map((_, index) => seriesColour(index));
  const sums = [...new Set(parts.map(({ variant }) => variant))].map((variant) => ({
    variant,
    sum: parts.reduce((sum, part) => sum + (part.variant === variant ? part.ms : 0), 0),
  }));
  return {
    name,
    title,
    subtitle,
    legend: names.map((label, index) => ({ label, colour: seriesColour(index) })),
    plot: {
      color: { domain: names, range },
      height: 130 + 75 * sums.length,
      marginLeft: 80,
      marginRight: 80,
      x: { label: "ms", grid: true },
      y: { label: null, domain: sums.sort((a, b) => a.sum - b.sum).map(({ variant }) => variant) },
      marks: [
        Plot.barX(parts, { x: "ms", y: "variant", fill: "part", order: names, inset: 0.5 }),
        Plot.text(sums, {
          x: "sum",
          y: "variant",
          text: ({ sum }: { sum: number }) => `${sum.toFixed(0)} ms`,
          textAnchor: "start",
          dx: 6,
        }),
        Plot.ruleX([0], { stroke: INK }),
      ],
    },
  };
}

function densityFigure({ startMs, points }: NonNullable<Results["density"]>, subtitle: string): Figure {
  const dots = startMs.map((y, x) => ({ series: "start", x: x + 1, y }));
  const most = points.at(-1)?.sandboxes ?? 0;
  const { legend, color } = colours(["start"]);
  return {
    name: "density",
    title: `Time of each start, up to ${most} sandboxes on the fake driver`,
    subtitle,
    legend: legend.map((entry) => ({ ...entry, label: "Create and Start; the line is the running median" })),
    plot: {
      color,
      x: { label: "sandboxes there are", grid: true },
      y: { label: "ms", grid: true, domain: [0, quantile(startMs, 0.995) * 1.2], clamp: true },
      marks: [
        Plot.dot(dots, { x: "x", y: "y", fill: "series", r: 1.5, fillOpacity: 0.35 }),
        Plot.line(
          dots,
          Plot.windowY({ k: 50, reduce: "median" }, { x: "x", y: "y", stroke: "series", strokeWidth: 2 }),
        ),
      ],
    },
  };
}

function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor((sorted.length - 1) * share)] ?? 1;
}

function blazarName(variant: string): string {
  if (variant === "pool") return "blazar, pool";
  return variant === "noPool" ? "blazar, no pool" : variant;
}

/** A colour for each name; runc's is always the second, so that it is found again in every figure. */
function colours(names: readonly string[]): {
  readonly legend: Figure["legend"];
  readonly color: { readonly domain: string[]; readonly range: string[] };
} {
  const isBase = (name: string) => name.startsWith("runc");
  const others = names.filter((name) => !isBase(name));
  const colourOf = (name: string) => {
    const index = others.indexOf(name);
    return seriesColour(isBase(name) ? 1 : index === 0 ? 0 : index + 1);
  };
  return {
    legend: names.map((label) => ({ label, colour: colourOf(label) })),
    color: { domain: [...names], range: names.map(colourOf) },
  };
}

function grouped<T>(
  items: readonly T[],
  entry: (item: T) => readonly [string, readonly number[]],
): Map<string, number[]> {
  const groups = new Map<string, number[]>();
  for (const item of items) {
    const [name, values] = entry(item);
    groups.set(name, [...(groups.get(name) ?? []), ...values]);
  }
  return new Map([...groups].sort(([a], [b]) => a.localeCompare(b)));
}
