/**
 * The results of a run, as a file: every raw sample, the machine, the versions, the seed.
 *
 * There is one JSON file for each run, `bench/results/<date>-<host>.json`. The host is given as cores and acceleration,
 * never by name. Everything printed, drawn or written about a run is made from this file alone.
 */
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import * as z from "zod/mini";
import { blazarError, reasonOf } from "../../src/contracts/errors.ts";
import type { LoopDelay } from "../../src/observe/loop-delay.ts";
import type { Memory } from "../node/memory.ts";
import type { Step } from "../node/pod.ts";

/** One pod started in series. */
export interface SeriesSample {
  readonly variant: string;
  readonly round: number;
  readonly totalMs: number;
  /** As the client sees it. */
  readonly calls: readonly Step[];
  /** As blazard tells it; empty for other handlers. */
  readonly steps: readonly Step[];
}

/** Pods started at once. */
export interface ParallelSample {
  readonly variant: string;
  readonly round: number;
  readonly pods: number;
  /** Until all of them ran. */
  readonly wallMs: number;
  /** Each pod's own time. */
  readonly podMs: readonly number[];
  /** blazard's, during these starts. */
  readonly loopDelay: LoopDelay | null;
}

/** The memory of what manages so many pods, in bytes. */
export interface MemorySample {
  readonly handler: string;
  readonly pods: number;
  readonly phase: "idle" | "loaded";
  readonly daemon: Memory | null;
  readonly keeper: Memory | null;
  readonly shims: Memory | null;
  /** VMMs and helpers, or what the shims have started; pooled VMs included. */
  readonly sandboxes: { readonly count: number; readonly memory: Memory };
}

/** The daemon with so many sandboxes on the fake driver. Bytes. */
export interface DensityPoint {
  readonly sandboxes: number;
  readonly daemon: Memory;
  readonly keeper: Memory;
}

export interface Density {
  readonly points: readonly DensityPoint[];
  /** Of each sandbox in order: Create and Start, in ms. */
  readonly startMs: readonly number[];
}

/** One piece of work with files, once in a container. */
export interface FileSample {
  readonly variant: string;
  readonly round: number;
  readonly work: string;
  /** `first` in a new pod, `again` right after it. */
  readonly phase: "first" | "again";
  /** By a clock inside the container. */
  readonly ms: number;
  /** What computing took in the same pod, right before the first. */
  readonly computingMs: number;
  /** The whole call of ExecSync, by this process's clock. */
  readonly callMs: number;
}

export interface FilesResults {
  /** The image's name, and how many names `find` has in it. */
  readonly image: { readonly name: string; readonly names: number };
  readonly work: readonly { readonly name: string; readonly what: string }[];
  readonly samples: readonly FileSample[];
}

/** What it took that pods of one image have each read the same file. Bytes; differences to before the reading. */
export interface PageCacheSample {
  readonly variant: string;
  readonly pods: number;
  readonly fileBytes: number;
  /** Of the host: less of it is negative. */
  readonly available: number;
  /** The host's page cache. */
  readonly cached: number;
  /** Of all VMMs, or of all containers. */
  readonly sandboxesPss: number;
  /** The page cache that the first container sees: its guest's, or the host's. */
  readonly guestCached: number;
  /** Large files of the node of which the host has cached more than before. */
  readonly files: readonly { readonly name: string; readonly cached: number }[];
}

/** Times of commands in another container, in ms. */
export interface Latencies {
  readonly samePod: readonly number[];
  readonly otherPod: readonly number[];
}

/** Standard streams of one handler. Bytes and milliseconds. */
export interface StdioSample {
  readonly handler: string;
  /** What the two rates are of. */
  readonly rateBytes: number;
  /** A container's stdout that containerd drops. */
  readonly droppedMs: number;
  /** CPU time of that: of daemon and keeper, or the shims; of VMMs, or containers that outlive it. */
  readonly cpuMs: { readonly managers: number; readonly sandboxes: number };
  /** An exec's stdout that comes to the client. */
  readonly execMs: number;
  /** An exec's stdin that comes from the client. Not in older files. */
  readonly input?: { readonly bytes: number; readonly ms: number };
  readonly order: { readonly bytes: number; readonly whole: boolean };
  /** Written beside an exec whose output nobody reads. */
  readonly bytes: number;
  readonly writerMs: number;
  readonly before: Latencies;
  readonly during: Latencies;
  /** PSS of daemon and keeper, or of the shims. */
  readonly memoryBefore: number;
  readonly memoryPeak: number;
}

/** CPU time in ms: of VMMs, of daemon and keeper, in interrupts, of the whole machine. */
export interface NetworkCpu {
  readonly sandboxes: number;
  readonly daemon: number;
  readonly interrupts: number;
  readonly machine: number;
  /** How long all of it took. */
  readonly wall: number;
}

/** One run of one piece of work. */
export interface NetworkFigure {
  readonly name: string;
  readonly run: number;
  /** Bytes, round trips or connections. */
  readonly count: number;
  readonly ms: number;
  /** Of a round trip or a connection; 0 for bytes. */
  readonly p50us: number;
  readonly p99us: number;
  readonly cpuMs: NetworkCpu;
}

/** The network of one handler's pods, from one place. */
export interface NetworkSample {
  readonly handler: string;
  readonly path: string;
  readonly figures: readonly NetworkFigure[];
}

export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryMb: number;
  readonly kernel: string;
  /** Of blazar's VMs: `kvm` or `tcg`. */
  readonly acceleration: string;
}

/** A measurement that was not possible, and why. */
export interface Absence {
  readonly what: string;
  readonly why: string;
}

export interface Results {
  readonly format: 1;
  readonly command: string;
  readonly startedAt: string;
  readonly seconds: number;
  readonly seed: number;
  readonly quick: boolean;
  readonly machine: Machine;
  readonly versions: Readonly<Record<string, string>>;
  readonly absent: readonly Absence[];
  readonly start?: readonly SeriesSample[];
  readonly serial?: readonly SeriesSample[];
  readonly parallel?: readonly ParallelSample[];
  readonly memory?: readonly MemorySample[];
  readonly density?: Density;
  readonly files?: FilesResults;
  readonly pageCache?: readonly PageCacheSample[];
  readonly stdio?: readonly StdioSample[];
  readonly network?: readonly NetworkSample[];
}

/** Enough to refuse a file that is something else. */
const header = z.looseObject({ format: z.literal(1), seed: z.number(), machine: z.looseObject({}) });

/** `2026-11-22T14-05-09-2c-tcg`: the file's name without its end. */
export function resultsName({ startedAt, machine }: Results): string {
  const date = startedAt.slice(0, 19).replaceAll(":", "-");
  return `${date}-${machine.cores}c-${machine.acceleration === "" ? "none" : machine.acceleration}`;
}

/** Writes a run's file into a directory, made if missing; returns its path. */
export async function writeResults(directory: string, results: Results): Promise<string> {
  await mkdir(directory, { recursive: true });
  const file = join(directory, `${resultsName(results)}.json`);
  await writeFile(file, `${JSON.stringify(results, rounded, 1)}\n`);
  return file;
}

/** Throws InvalidArgument if it is not a file of this benchmark. */
export async function readResults(file: string): Promise<Results> {
  try {
    return header.parse(JSON.parse(await readFile(file, "utf8"))) as unknown as Results;
  } catch (cause) {
    throw blazarError("InvalidArgument", "read the results", reasonOf(cause), {
      subject: file,
      remedy: "give a file that a run of this benchmark has written",
      cause,
    });
  }
}

/** The newest file of a directory that has all sections; throws InvalidArgument if there is none. */
export async function newestResults(directory: string): Promise<string> {
  const names = (await readdir(directory).catch(() => [])).filter((name) => name.endsWith(".json")).sort();
  for (const name of names.reverse()) {
    const file = join(directory, name);
    const results = await readResults(file);
    if (results.command === "all" && !results.quick) return file;
  }
  throw blazarError("InvalidArgument", "find results", "there is no file of a full run", {
    subject: directory,
    remedy: "run: npm run bench -- all",
  });
}

/** To the microsecond: none of the clocks is more precise. */
function rounded(_key: string, value: unknown): unknown {
  return typeof value === "number" && !Number.isInteger(value) ? Math.round(value * 1000) / 1000 : value;
}
