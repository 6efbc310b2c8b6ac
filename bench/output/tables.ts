/**
 * Results as plain text tables: for the terminal, and with bars for Markdown.
 *
 * A table is made once as rows of cells; the two forms differ only in how they are set.
 */
import type { Memory } from "../node/memory.ts";
import { BASELINE } from "../node/variants.ts";
import { describeRatio, ratioOfMedians } from "../stats/ratio.ts";
import { median, summarize } from "../stats/summary.ts";
import { managers } from "../suites/memory.ts";
import { filesTables, pageCacheTable } from "./files-output.ts";
import { timesOf } from "./last-line.ts";
import { networkCostTables, networkTables } from "./network-output.ts";
import type { Results, SeriesSample } from "./results.ts";
import { stdioTable } from "./stdio-output.ts";
import { inOrder, partsOf } from "./steps.ts";
import type { Table } from "./table.ts";

const MIB = 2 ** 20;
const DENSITY_BUCKET = 100;

/** All tables that the results have data for. */
export function tablesOf(results: Results): Table[] {
  const { start, serial, parallel, memory, density, files, pageCache, stdio, network, absent } = results;
  return [
    ...seriesTables("Start, by how the VM comes about", start, results.seed),
    ...seriesTables("In series", serial, results.seed),
    ...(serial === undefined ? [] : networkCostTables(serial)),
    ...(parallel === undefined ? [] : [parallelTable(results)]),
    ...(memory === undefined ? [] : [memoryTable(memory)]),
    ...(density === undefined ? [] : [densityTable(density)]),
    ...(files === undefined ? [] : filesTables(files, results.seed)),
    ...(pageCache === undefined ? [] : [pageCacheTable(pageCache)]),
    ...(stdio === undefined ? [] : [stdioTable(stdio)]),
    ...(network === undefined ? [] : networkTables(network)),
    ...(absent.length === 0 ? [] : [absentTable(absent)]),
  ];
}

function seriesTables(title: string, samples: readonly SeriesSample[] | undefined, seed: number): Table[] {
  return samples === undefined ? [] : [seriesTable(title, samples, seed), ...stepsTables(title, samples)];
}

function seriesTable(title: string, samples: readonly SeriesSample[], seed: number): Table {
  const variants = [...new Set(samples.map(({ variant }) => variant))].sort();
  const base = timesOf(samples, BASELINE);
  return {
    title: `${title}: pod and container, ms`,
    head: ["", "n", "p50", "p90", "p99", "min", "max"],
    rows: variants.map((variant) => {
      const summary = summarize(timesOf(samples, variant));
      if (summary === null) return [variant];
      const { n, p50, p90, p99, min, max } = summary;
      return [variant, String(n), ...[p50, p90, p99, min, max].map(ms)];
    }),
    notes: variants
      .filter((variant) => variant !== BASELINE)
      .flatMap((variant) => {
        const ratio = ratioOfMedians(timesOf(samples, variant), base, seed);
        return ratio === null ? [] : [`${variant} ÷ runc, medians: ${describeRatio(ratio)}`];
      }),
  };
}

/** A column for each variant, a row for each part. */
function stepsTables(title: string, samples: readonly SeriesSample[]): Table[] {
  const parts = partsOf(samples);
  if (parts.length === 0) return [];
  const variants = [...new Set(parts.map(({ variant }) => variant))].sort();
  const names = [...new Set(parts.map(({ part }) => part))].sort(inOrder);
  const msOf = (name: string, variant: string) =>
    parts.find((each) => each.part === name && each.variant === variant)?.ms;
  return [
    {
      title: `${title}: where the time goes, ms (medians)`,
      head: ["", ...variants],
      rows: names.map((name) => [name, ...variants.map((variant) => msOf(name, variant)?.toFixed(1) ?? "")]),
      notes: ["“all else” of a call: containerd and the wire; for other handlers the whole call."],
    },
  ];
}

function parallelTable({ parallel = [], seed }: Results): Table {
  const variants = [...new Set(parallel.map(({ variant }) => variant))].sort();
  const walls = (name: string) =>
    parallel.filter(({ variant }) => variant === name).map(({ wallMs }) => wallMs);
  const rows = variants.map((variant) => {
    const of = parallel.filter((sample) => sample.variant === variant);
    const pods = summarize(of.flatMap(({ podMs }) => podMs));
    const delays = of.flatMap(({ loopDelay }) => (loopDelay === null ? [] : [loopDelay]));
    const worst = delays.length === 0 ? "" : ms(Math.max(...delays.map(({ p99 }) => p99)));
    const typical = delays.length === 0 ? "" : ms(median(delays.map(({ p50 }) => p50)));
    const own = pods === null ? ["", "", ""] : [ms(pods.p50), ms(pods.p90), ms(pods.p99)];
    return [variant, String(of.length), ms(median(walls(variant))), ...own, typical, worst];
  });
  return {
    title: `${parallel[0]?.pods ?? 0} pods at once, ms`,
    head: ["", "n", "wall", "pod p50", "pod p90", "pod p99", "loop p50", "loop p99"],
    rows,
    notes: variants
      .filter((variant) => variant !== BASELINE)
      .flatMap((variant) => {
        const ratio = ratioOfMedians(walls(variant), walls(BASELINE), seed);
        return ratio === null ? [] : [`${variant} ÷ runc, wall time: ${describeRatio(ratio)}`];
      }),
  };
}

function memoryTable(memory: NonNullable<Results["memory"]>): Table {
  const rows = [...memory]
    .sort((a, b) => a.handler.localeCompare(b.handler) || a.phase.localeCompare(b.phase) || a.pods - b.pods)
    .map((sample) => {
      const all = managers(sample);
      const { count, memory: theirs } = sample.sandboxes;
      return [
        sample.handler,
        sample.phase,
        String(sample.pods),
        mib(sample.daemon),
        mib(sample.keeper),
        mib(sample.shims),
        (all.pss / MIB).toFixed(1),
        (all.anonymous / MIB).toFixed(1),
        count === 0 ? "" : (theirs.pss / MIB / sample.pods).toFixed(1),
      ];
    });
  return {
    title: "Memory of what manages the pods, MiB",
    head: ["", "", "pods", "daemon", "keeper", "shims", "sum PSS", "sum anon", "each sandbox"],
    rows,
    notes: [
      "“each sandbox” is apart from the sum: the VMM, or what a shim has started.",
      "The daemon is counted as if it were the only Node process of the machine.",
    ],
  };
}

function densityTable({ points, startMs }: NonNullable<Results["density"]>): Table {
  return {
    title: "Density: sandboxes on the fake driver",
    head: [
      "sandboxes",
      "daemon PSS MiB",
      "anonymous MiB",
      "keeper PSS MiB",
      "start p50 ms (last 100)",
      "p99 ms",
    ],
    rows: points.map(({ sandboxes, daemon, keeper }) => {
      const latest = summarize(startMs.slice(Math.max(0, sandboxes - DENSITY_BUCKET), sandboxes));
      return [
        String(sandboxes),
        mib(daemon),
        (daemon.anonymous / MIB).toFixed(1),
        mib(keeper),
        latest === null ? "" : latest.p50.toFixed(2),
        latest === null ? "" : latest.p99.toFixed(2),
      ];
    }),
    notes: [
      "A pod has one container; all is real but the VMs and their guests, which are in the daemon's memory.",
    ],
  };
}

function absentTable(absent: Results["absent"]): Table {
  return {
    title: "Not measured",
    head: ["what", "why"],
    rows: absent.map(({ what, why }) => [what, why.split("\n")[0] ?? ""]),
    notes: [],
  };
}

/** For a terminal: columns set with spaces, the first to the left, figures to the right. */
export function asText({ title, head, rows, notes }: Table): string {
  const all = [head, ...rows];
  const widths = head.map((_, column) => Math.max(...all.map((row) => (row[column] ?? "").length)));
  const line = (row: readonly string[]) =>
    `  ${row.map((cell, column) => pad(cell, widths[column] ?? 0)).join("  ")}`.trimEnd();
  return [`\n${title}`, ...all.map(line), ...notes.map((note) => `  ${note}`)].join("\n");
}

/** For docs/performance.md. */
export function asMarkdown({ title, head, rows, notes }: Table): string {
  const line = (row: readonly string[]) => `| ${row.join(" | ")} |`;
  const rule = line(head.map((_, column) => (rows.every((row) => isFigure(row[column])) ? "--:" : "---")));
  const body = [line(head), rule, ...rows.map((row) => line(head.map((_, column) => row[column] ?? "")))];
  return [`### ${title}`, "", ...body, "", ...notes.map((note) => `- ${note}`), ""].join("\n");
}

function pad(cell: string, width: number): string {
  return isFigure(cell) ? cell.padStart(width) : cell.padEnd(width);
}

function isFigure(cell: string | undefined): boolean {
  return cell === undefined || /^[\d.]*$/.test(cell);
}

function ms(value: number): string {
  return value.toFixed(value < 10 ? 1 : 0);
}

function mib(memory: Memory | null): string {
  return memory === null ? "" : (memory.pss / MIB).toFixed(1);
}
