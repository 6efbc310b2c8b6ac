/**
 * Writes metrics as Prometheus reads them: its text format, version 0.0.4.
 *
 * A library for this (prom-client) takes 4 MB of memory; see ADR 21. Values of labels may come from anybody, so they are
 * escaped and cut here.
 */
import type { Distribution, MetricStore } from "./store.ts";
import { METRIC_TABLE } from "./table.ts";

export const CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8";

const LONGEST_VALUE = 128;

/** All metrics that have a series, in the order of the table. */
export function exposition(store: MetricStore): string {
  const lines: string[] = [];
  for (const [name, { type, help, labels, buckets = [] }] of Object.entries(METRIC_TABLE)) {
    const samples =
      type === "histogram"
        ? [...store.distributionsOf(name)].flatMap(({ labels: values, value }) =>
            distribution(name, pairs(labels, values), buckets, value),
          )
        : [...store.scalarsOf(name)].map(({ labels: values, value }) =>
            sample(name, pairs(labels, values), value),
          );
    if (samples.length > 0)
      lines.push(`# HELP ${name} ${escapeHelp(help)}`, `# TYPE ${name} ${type}`, ...samples);
  }
  return `${lines.join("\n")}\n`;
}

function distribution(
  name: string,
  labels: readonly string[],
  bounds: readonly number[],
  { counts, sum }: Distribution,
): string[] {
  let total = 0;
  const buckets = counts.map((count, index) => {
    total += count;
    return sample(`${name}_bucket`, [...labels, `le="${bounds[index] ?? "+Inf"}"`], total);
  });
  return [...buckets, sample(`${name}_sum`, labels, sum), sample(`${name}_count`, labels, total)];
}

function pairs(names: readonly string[], values: readonly string[]): string[] {
  return names.map((name, index) => `${name}="${escapeValue(values[index] ?? "")}"`);
}

function sample(name: string, labels: readonly string[], value: number): string {
  return `${name}${labels.length === 0 ? "" : `{${labels.join(",")}}`} ${value}`;
}

function escapeHelp(text: string): string {
  return text.replaceAll("\\", "\\\\").replaceAll("\n", "\\n");
}

function escapeValue(text: string): string {
  const short = text.length > LONGEST_VALUE ? text.slice(0, LONGEST_VALUE) : text;
  return escapeHelp(short).replaceAll('"', '\\"');
}
