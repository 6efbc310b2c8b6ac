/**
 * The values of metrics: counters and histograms that grow, and gauges that are told anew at each scrape.
 *
 * A metric has a bounded number of series: beyond it, whatever comes is counted in one whose labels are all `other`. So
 * nothing that a guest or a caller says can fill the memory.
 */
import {
  type CounterName,
  type GaugeName,
  type HistogramName,
  type LabelsOf,
  METRIC_TABLE,
  type MetricName,
} from "./table.ts";

/** Series of one metric. */
const MOST_SERIES = 500;
const OTHER = "other";

/** One series of a histogram. */
export interface Distribution {
  /** How many fell into each bucket, not cumulated; the last is beyond all bounds. */
  readonly counts: number[];
  sum: number;
}

export interface Series<Value> {
  /** In the order of the table's labels. */
  readonly labels: readonly string[];
  value: Value;
}

type AllSeries<Value> = Map<string, Map<string, Series<Value>>>;

export class MetricStore {
  private readonly scalars: AllSeries<number> = new Map();
  private readonly distributions: AllSeries<Distribution> = new Map();

  /** Adds to a counter; with 0 its series is there from then on. */
  count<Name extends CounterName>(name: Name, labels: LabelsOf<Name>, by = 1): void {
    seriesOf(this.scalars, name, labels, () => 0).value += by;
  }

  /** Tells what a counter has come to that is counted elsewhere, or a gauge's value. */
  set<Name extends CounterName | GaugeName>(name: Name, labels: LabelsOf<Name>, value: number): void {
    seriesOf(this.scalars, name, labels, () => 0).value = value;
  }

  /** Forgets a metric's series: the next scrape tells all that there are. */
  clear(name: CounterName | GaugeName): void {
    this.scalars.delete(name);
  }

  /** Adds an observation, in the metric's unit. */
  observe<Name extends HistogramName>(name: Name, labels: LabelsOf<Name>, value: number): void {
    const bounds = METRIC_TABLE[name]?.buckets ?? [];
    const empty = () => ({ counts: new Array<number>(bounds.length + 1).fill(0), sum: 0 });
    const { value: distribution } = seriesOf(this.distributions, name, labels, empty);
    const { counts } = distribution;
    const index = bounds.findIndex((bound) => value <= bound);
    const bucket = index < 0 ? bounds.length : index;
    counts[bucket] = (counts[bucket] ?? 0) + 1;
    distribution.sum += value;
  }

  scalarsOf(name: string): Iterable<Series<number>> {
    return this.scalars.get(name)?.values() ?? [];
  }

  distributionsOf(name: string): Iterable<Series<Distribution>> {
    return this.distributions.get(name)?.values() ?? [];
  }
}

function seriesOf<Value>(
  all: AllSeries<Value>,
  name: MetricName,
  labels: Readonly<Record<string, string>>,
  empty: () => Value,
): Series<Value> {
  const metric = all.get(name) ?? new Map<string, Series<Value>>();
  all.set(name, metric);
  const given = (METRIC_TABLE[name]?.labels ?? []).map((label) => labels[label] ?? "");
  const fits = metric.size < MOST_SERIES || metric.has(keyOf(given));
  const values = fits ? given : given.map(() => OTHER);
  const series = metric.get(keyOf(values)) ?? { labels: values, value: empty() };
  metric.set(keyOf(values), series);
  return series;
}

function keyOf(values: readonly string[]): string {
  return values.join("\0");
}
