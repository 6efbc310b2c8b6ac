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
  let metric = all.get(name);
  if (metric === undefined) {
    metric = new Map();
    all.set(name, metric);
  }
  const names = METRIC_TABLE[name]?.labels ?? [];
  let key = "";
  for (const label of names) key += `${labels[label] ?? ""}\0`;
  // nearly every time, and several times for each entry of a history
  const known = metric.get(key);
  if (known !== undefined) return known;
  const fits = metric.size < MOST_SERIES;
  const values = names.map((label) => (fits ? (labels[label] ?? "") : OTHER));
  const ownKey = fits ? key : values.map((value) => `${value}\0`).join("");
  const series = metric.get(ownKey) ?? { labels: values, value: empty() };
  metric.set(ownKey, series);
  return series;
}
