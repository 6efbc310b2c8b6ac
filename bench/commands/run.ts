/**
 * Runs suites and publishes their results: tables, the file of samples, figures, the last line.
 */
import { join } from "node:path";
import { buildDist } from "../../setup/lib/dist.ts";
import { repoRoot } from "../../setup/lib/paths.ts";
import { streamProgress } from "../../setup/lib/progress.ts";
import { ensureArtifacts } from "../../setup/steps/artifacts.ts";
import { type BlazarError, blazarError, reasonOf } from "../../src/contracts/errors.ts";
import { describeMachine, versions } from "../node/machine.ts";
import {
  BASELINE,
  BLAZAR,
  cniVariant,
  handlerVariant,
  startVariants,
  type Variant,
} from "../node/variants.ts";
import { drawFigures } from "../output/figures.ts";
import { startLine, suiteLine } from "../output/last-line.ts";
import { Progress } from "../output/progress.ts";
import { type Absence, type Results, resultsName, writeResults } from "../output/results.ts";
import { asText, tablesOf } from "../output/tables.ts";
import { seeded } from "../stats/random.ts";
import type { SuiteContext } from "../suites/context.ts";
import { runDensity } from "../suites/density.ts";
import { runFiles } from "../suites/files.ts";
import { runMemory } from "../suites/memory.ts";
import { runNetwork } from "../suites/network.ts";
import { runPageCache } from "../suites/page-cache.ts";
import { runParallel } from "../suites/parallel.ts";
import { blazarFirst, runSeries } from "../suites/series.ts";
import { runStdio } from "../suites/stdio.ts";

type Suite =
  | "start"
  | "serial"
  | "parallel"
  | "memory"
  | "density"
  | "files"
  | "page-cache"
  | "stdio"
  | "network";

/** A suite, or the four of `all`. */
export type BenchCommand = Suite | "all";

export interface RunOptions {
  /** Measurements of each variant; default: by suite, and few if `quick`. */
  readonly runs?: number;
  /** Pods at once, at most, or in all; default: by suite. */
  readonly pods?: number;
  readonly handlers: readonly string[];
  readonly quick: boolean;
  readonly json: boolean;
  readonly seed: number;
  /** TOML added to containerd's configuration. */
  readonly containerdConfig: string | undefined;
  /** `serial`: pods on a network of CNI's beside hostNetwork pods. */
  readonly cni: boolean;
  /** `files`: a reference or a tar; undefined = the image made of Debian's packages. */
  readonly image: string | undefined;
  readonly signal: AbortSignal;
}

type Sections = Pick<
  Results,
  "start" | "serial" | "parallel" | "memory" | "density" | "files" | "pageCache" | "stdio" | "network"
>;

const SUITES: Readonly<Record<BenchCommand, readonly Suite[]>> = {
  start: ["start"],
  serial: ["serial"],
  parallel: ["parallel"],
  memory: ["memory"],
  density: ["density"],
  files: ["files"],
  "page-cache": ["page-cache"],
  stdio: ["stdio"],
  network: ["network"],
  all: ["serial", "parallel", "memory", "density"],
};
const RUNS: Readonly<Record<Suite, number>> = {
  start: 30,
  serial: 50,
  parallel: 5,
  memory: 1,
  density: 1,
  files: 5,
  "page-cache": 1,
  stdio: 1,
  network: 3,
};
const QUICK_RUNS: Readonly<Record<Suite, number>> = {
  start: 10,
  serial: 40,
  parallel: 2,
  memory: 1,
  density: 1,
  files: 1,
  "page-cache": 1,
  stdio: 1,
  network: 1,
};
const PODS: Readonly<Record<Suite, number>> = {
  start: 1,
  serial: 1,
  parallel: 50,
  memory: 50,
  density: 1000,
  files: 1,
  "page-cache": 50,
  stdio: 2,
  network: 2,
};
const QUICK_PODS: Partial<Record<Suite, number>> = { "page-cache": 5 };

/** Where results are kept. */
export function resultsDirectory(): string {
  return join(repoRoot(), "bench", "results");
}

/** Measures, prints and writes. Throws if nothing can be measured; a single failure is noted in the results. */
export async function runBench(command: BenchCommand, options: RunOptions): Promise<Results> {
  if (process.getuid?.() !== 0) throw notRoot();
  const artifacts = await ensureArtifacts();
  await buildDist(streamProgress());
  process.env["BLAZAR_CACHE"] = artifacts.cache;
  const progress = new Progress();
  progress.line(`${command}: seed ${options.seed}, handlers ${options.handlers.join(", ")}`);
  const [startedAt, begin] = [new Date().toISOString(), performance.now()];
  const absent: Absence[] = [];
  const learned = { acceleration: "" };
  let sections: Sections = {};
  for (const suite of SUITES[command]) {
    const context: SuiteContext = {
      artifacts,
      progress,
      random: seeded(options.seed),
      handlers: blazarFirst(options.handlers),
      runs: options.runs ?? (options.quick ? QUICK_RUNS : RUNS)[suite],
      pods: options.pods ?? (options.quick ? QUICK_PODS[suite] : undefined) ?? PODS[suite],
      quick: options.quick,
      containerdConfig: options.containerdConfig,
      cni: options.cni,
      image: options.image,
      absent,
      learned,
      signal: options.signal,
    };
    try {
      sections = { ...sections, ...(await runSuite(suite, context)) };
    } catch (error) {
      if (options.signal.aborted) throw error;
      absent.push({ what: suite, why: reasonOf(error) });
      progress.line(`${suite} failed: ${reasonOf(error)}`);
    }
  }
  const results: Results = {
    format: 1,
    command,
    startedAt,
    seconds: Math.round((performance.now() - begin) / 1000),
    seed: options.seed,
    quick: options.quick,
    machine: describeMachine(learned.acceleration),
    versions: await versions(artifacts),
    absent,
    ...sections,
  };
  await publish(command, results, options.json, progress);
  return results;
}

async function runSuite(suite: Suite, context: SuiteContext): Promise<Sections> {
  switch (suite) {
    case "start":
      return { start: await runSeries("start", startVariants(context.handlers), context) };
    case "serial":
      return { serial: await runSeries("serial", serialVariants(context), context) };
    case "parallel":
      return { parallel: await runParallel(context) };
    case "memory":
      return { memory: await runMemory(context) };
    case "density":
      return { density: await runDensity(context) };
    case "files":
      return { files: await runFiles(context) };
    case "page-cache":
      return { pageCache: await runPageCache(context) };
    case "stdio":
      return { stdio: await runStdio(context) };
    case "network":
      return { network: await runNetwork(context) };
  }
}

/** The handlers as they are, and with `--network cni` those that the lab has CNI's networks for once more. */
function serialVariants({ handlers, cni }: SuiteContext): Variant[] {
  const known = handlers.filter((each) => each === BLAZAR || each === BASELINE);
  return [...handlers.map(handlerVariant), ...(cni ? known.map(cniVariant) : [])];
}

async function publish(
  command: BenchCommand,
  results: Results,
  json: boolean,
  progress: Progress,
): Promise<void> {
  const text = tablesOf(results).map(asText).join("\n");
  (json ? process.stderr : process.stdout).write(`${text}\n\n`);
  const file = await writeResults(resultsDirectory(), results);
  const figures = await drawFigures(results, join(resultsDirectory(), resultsName(results)));
  progress.line(`samples: ${file}`);
  for (const figure of figures) progress.line(`figure: ${figure}`);
  if (!json) return;
  const line = command === "start" ? startLine(results) : suiteLine(results);
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

function notRoot(): BlazarError {
  const reason = "containerd needs root, and this is another user";
  return blazarError("PermissionDenied", "run the benchmark", reason, { remedy: "run it as root" });
}
