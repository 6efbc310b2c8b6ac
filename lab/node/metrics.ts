/**
 * Asking blazard for its own figures: SIGUSR2, then the file that it writes (src/observe/metrics-file.ts).
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { Metrics } from "../../src/observe/metrics-file.ts";
import { until } from "../host/until.ts";

const PATIENCE = { timeoutMs: 10_000, pollMs: 10 };

/** Fresh figures. Throws DeadlineExceeded if blazard does not write them. */
export async function readMetrics(stateDirectory: string, pid: number): Promise<Metrics> {
  const file = join(stateDirectory, "metrics.json");
  const before = await read(file);
  process.kill(pid, "SIGUSR2");
  const fresh = async (): Promise<Metrics | undefined> => {
    const now = await read(file);
    if (now === undefined || now.pid !== pid) return undefined;
    return before?.pid !== pid || now.sequence > before.sequence ? now : undefined;
  };
  return until(`the figures of blazard (process ${pid})`, fresh, PATIENCE);
}

async function read(file: string): Promise<Metrics | undefined> {
  const text = await readFile(file, "utf8").catch(() => undefined);
  return text === undefined ? undefined : (JSON.parse(text) as Metrics);
}
