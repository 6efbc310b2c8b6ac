/**
 * One run of the program critest: its arguments, its output in a file, and a line now and then of how far it is.
 *
 * Must judge nothing: critest's exit status says only that some case failed, and its report says which.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createWriteStream } from "node:fs";
import { mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { onAbort } from "../../src/lib/async.ts";
import type { Handler } from "../fidelity/handler-pod.ts";
import { type Results, readResults } from "./results.ts";

export interface CritestRun {
  readonly critest: string;
  readonly handler: Handler;
  /** The gRPC socket of CRI. */
  readonly socket: string;
  /** critest's temporary directory. */
  readonly scratch: string;
  /** Only cases with this text in their name, or with one of several: `Networking|Streaming`. */
  readonly only: string;
  /** Where its output and its report stay: `<handler>.log` and `<handler>.json`. */
  readonly logs: string;
  /** Ends the run. */
  readonly signal: AbortSignal;
}

/** The order of the cases: the same in each run, so that two runs can be compared. */
const SEED = 1;
const RUN_TIMEOUT = "40m";
const PROGRESS_MS = 20_000;
/** What Ginkgo writes at the end of a case that was not skipped, often many of them in one line. */
const CASE_ENDED = "•";

export async function runCritest(run: CritestRun): Promise<Results> {
  const { critest, handler, socket, scratch, only, logs, signal } = run;
  await mkdir(logs, { recursive: true });
  const report = join(logs, `${handler}.json`);
  await rm(report, { force: true });
  // or critest reads the machine's /etc/crictl.yaml
  const config = join(scratch, "crictl.yaml");
  await writeFile(config, `runtime-endpoint: unix://${socket}\n`);
  const args = [
    ...["-config", config, "-runtime-endpoint", `unix://${socket}`, "-runtime-handler", handler],
    ...["-ginkgo.no-color", `-ginkgo.seed=${SEED}`, `-ginkgo.timeout=${RUN_TIMEOUT}`],
    `-ginkgo.json-report=${report}`,
    ...(only === "" ? [] : [`-ginkgo.focus=${only.split("|").map(literal).join("|")}`]),
  ];
  const env = { ...process.env, TMPDIR: scratch };
  const child = spawn(critest, args, { cwd: scratch, env, stdio: ["ignore", "pipe", "pipe"] });
  const forget = onAbort(signal, () => child.kill("SIGKILL"));
  const closed = once(child, "close");
  child.stderr.resume();
  await follow(child.stdout, join(logs, `${handler}.log`), handler);
  await closed;
  forget();
  signal.throwIfAborted();
  return readResults(report);
}

/** Copies the output into the log and tells how many cases have ended. */
async function follow(output: NodeJS.ReadableStream, file: string, handler: Handler): Promise<void> {
  const log = createWriteStream(file);
  let ended = 0;
  const tell = (): void => void process.stderr.write(`  … critest under ${handler}: ${ended} cases so far\n`);
  const ticker = setInterval(tell, PROGRESS_MS);
  output.setEncoding("utf8");
  try {
    for await (const text of output) {
      log.write(text);
      ended += String(text).split(CASE_ENDED).length - 1;
    }
  } finally {
    clearInterval(ticker);
    log.end();
  }
}

/** A text as a regular expression. */
function literal(text: string): string {
  return text.replaceAll(/[.*+?^${}()|[\]\\]/g, "\\$&");
}
