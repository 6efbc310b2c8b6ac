/**
 * The JSON object that a run prints as its last line: the figures that have budgets, and nothing else.
 *
 * A figure that was not measured is null. A ratio is blazar's figure, or the first name's, over the other's.
 */
import { BASELINE, BLAZAR } from "../node/variants.ts";
import { ratioOfMedians } from "../stats/ratio.ts";
import { median, slope, summarize } from "../stats/summary.ts";
import { managers } from "../suites/memory.ts";
import { filesPart, pageCachePart } from "./files-output.ts";
import { networkCosts, networkPart } from "./network-output.ts";
import type { MemorySample, ParallelSample, Results, SeriesSample } from "./results.ts";
import { stdioPart } from "./stdio-output.ts";

/** Percentiles in ms. */
interface Percentiles {
  readonly p50: number;
  readonly p90: number;
  readonly p99: number;
}

const MIB = 2 ** 20;
const KIB = 2 ** 10;
/** Sandboxes at each end of a density run whose starts are compared. */
const ENDS = 100;

/** The samples' times of one variant. */
export function timesOf(samples: readonly SeriesSample[], variant: string): number[] {
  return samples.filter((sample) => sample.variant === variant).map(({ totalMs }) => totalMs);
}

/** `start`: `{"pool":{…},"clone":{…},"cold":{…},"runc":{…},"ratios":{…}}`. */
export function startLine(results: Results): Record<string, unknown> {
  const samples = results.start ?? [];
  const names = new Set(["pool", "clone", "cold", BASELINE, ...samples.map(({ variant }) => variant)]);
  const ratio = (over: string, under: string) =>
    round(ratioOfMedians(timesOf(samples, over), timesOf(samples, under), results.seed)?.ratio);
  return {
    ...Object.fromEntries([...names].map((name) => [name, percentiles(timesOf(samples, name))])),
    ratios: {
      "pool/runc": ratio("pool", "runc"),
      "clone/runc": ratio("clone", "runc"),
      "cold/pool": ratio("cold", "pool"),
    },
  };
}

/** `all`, and each of its parts alone. */
export function suiteLine(results: Results): Record<string, unknown> {
  const { serial, parallel, memory, density, files, pageCache, stdio, network, seed } = results;
  return {
    ...(serial === undefined ? {} : { serial: serialPart(serial) }),
    ...(parallel === undefined ? {} : { parallel: parallelPart(parallel) }),
    ...(memory === undefined ? {} : { memory: memoryPart(memory) }),
    ...(density === undefined ? {} : { density: densityPart(density) }),
    ...(files === undefined ? {} : { files: filesPart(files, seed) }),
    ...(pageCache === undefined ? {} : { pageCache: pageCachePart(pageCache) }),
    ...(stdio === undefined ? {} : { stdio: stdioPart(stdio) }),
    ...(network === undefined ? {} : { network: networkPart(network) }),
  };
}

function serialPart(samples: readonly SeriesSample[]): Record<string, unknown> {
  const [blazar, runc] = [timesOf(samples, BLAZAR), timesOf(samples, BASELINE)];
  return {
    blazar: percentiles(blazar),
    runc: percentiles(runc),
    ratio: quotient(middle(blazar), middle(runc)),
    ...cniPart(samples),
  };
}

/** `{"cni":{"addedMs":{"blazar":…,"runc":…},"beyondRuncMs":…}}`, of series that have both. */
function cniPart(samples: readonly SeriesSample[]): Record<string, unknown> {
  const costs = networkCosts(samples);
  if (costs.length === 0) return {};
  const added = (name: string) => costs.find(({ handler }) => handler === name)?.added;
  const [blazar, runc] = [added(BLAZAR), added(BASELINE)];
  const beyond = blazar === undefined || runc === undefined ? null : round(blazar - runc);
  return { cni: { addedMs: { blazar: round(blazar), runc: round(runc) }, beyondRuncMs: beyond } };
}

function parallelPart(samples: readonly ParallelSample[]): Record<string, unknown> {
  const wall = (name: string) =>
    middle(samples.filter(({ variant }) => variant === name).map(({ wallMs }) => wallMs));
  const part = (name: string) =>
    wall(name) === null ? null : { wall: round(wall(name)), ratio: quotient(wall(name), wall(BASELINE)) };
  const delays = samples.flatMap(({ loopDelay }) => (loopDelay === null ? [] : [loopDelay.p99]));
  return {
    pool: part("pool"),
    noPool: part("noPool"),
    runc: wall(BASELINE) === null ? null : { wall: round(wall(BASELINE)) },
    loopDelayP99: delays.length === 0 ? null : round(Math.max(...delays)),
  };
}

function memoryPart(samples: readonly MemorySample[]): Record<string, unknown> {
  const idle = samples.filter(({ phase }) => phase === "idle");
  const pods = [...new Set(idle.map((sample) => sample.pods))].sort((a, b) => a - b);
  const along = (handler: string, bytes: (sample: MemorySample) => number | undefined) =>
    pods.map((count) => {
      const sample = idle.find((each) => each.handler === handler && each.pods === count);
      const value = sample === undefined ? undefined : bytes(sample);
      return value === undefined ? null : round(value / MIB);
    });
  return {
    pods,
    daemonPssMb: along(BLAZAR, ({ daemon }) => daemon?.pss),
    keeperPssMb: along(BLAZAR, ({ keeper }) => keeper?.pss),
    runcShimsPssMb: along(BASELINE, (sample) => managers(sample).pss),
    slopeKbPerPod: round(slopeKbPerPod(idle)),
  };
}

/** What one more pod costs the daemon, in KiB of PSS; null if it was measured at one count only. */
export function slopeKbPerPod(idle: readonly MemorySample[]): number | null {
  const points = idle.flatMap(({ handler, pods, daemon }) =>
    handler === BLAZAR && daemon !== null ? [{ x: pods, y: daemon.pss / KIB }] : [],
  );
  return points.length === 0 ? null : slope(points);
}

function densityPart({ points, startMs }: NonNullable<Results["density"]>): Record<string, unknown> {
  const last = points.at(-1);
  return {
    sandboxes: last?.sandboxes ?? 0,
    daemonPssMb: last === undefined ? null : round(last.daemon.pss / MIB),
    startMsFirst100: round(middle(startMs.slice(0, ENDS))),
    startMsLast100: round(middle(startMs.slice(-ENDS))),
  };
}

function percentiles(times: readonly number[]): Percentiles | null {
  const summary = summarize(times);
  if (summary === null) return null;
  const [p50, p90, p99] = [summary.p50, summary.p90, summary.p99].map((value) => Math.round(value * 10) / 10);
  return { p50: p50 ?? 0, p90: p90 ?? 0, p99: p99 ?? 0 };
}

function middle(times: readonly number[]): number | null {
  return times.length === 0 ? null : median(times);
}

function quotient(over: number | null, under: number | null): number | null {
  return over === null || under === null ? null : round(over / under);
}

function round(value: number | null | undefined): number | null {
  return value === null || value === undefined ? null : Math.round(value * 1000) / 1000;
}
