/** The daemon's own figures: written when asked, in one piece, with the loop's delay since the reading before. */
import { readFile } from "node:fs/promises";
import path from "node:path";
import { expect, test, vi } from "vitest";
import { silentLogger } from "../../../src/contracts/logger.ts";
import { LoopDelayMonitor } from "../../../src/observe/loop-delay.ts";
import { type Metrics, MetricsFile } from "../../../src/observe/metrics-file.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";

async function read(file: string): Promise<Metrics> {
  return JSON.parse(await readFile(file, "utf8")) as Metrics;
}

/** Holds the event loop. */
function block(ms: number): void {
  const end = performance.now() + ms;
  while (performance.now() < end);
}

const nextTimers = () => new Promise((next) => setTimeout(next, 25));

test("the first reading starts the measuring, the second sees what blocked the loop since", async () => {
  const monitor = new LoopDelayMonitor();
  expect(monitor.read()).toBeUndefined();
  await nextTimers();
  block(80);
  await nextTimers();
  const reading = monitor.read();
  monitor.stop();
  expect(reading?.max).toBeGreaterThan(50);
  expect(reading?.samples).toBeGreaterThan(0);
});

test("each signal writes the file once more, with what the parts say", async () => {
  const file = path.join(await temporaryDirectory(), "metrics.json");
  let asked = 0;
  const metrics = new MetricsFile({
    file,
    parts: { pool: () => ({ asked: ++asked }) },
    logger: silentLogger,
  });
  metrics.open();
  try {
    process.kill(process.pid, "SIGUSR2");
    const first = await vi.waitFor(() => read(file));
    expect(first).toMatchObject({
      pid: process.pid,
      sequence: 1,
      loopDelay: null,
      parts: { pool: { asked: 1 } },
    });
    process.kill(process.pid, "SIGUSR2");
    await vi.waitFor(async () => expect((await read(file)).sequence).toBe(2));
    expect((await read(file)).loopDelay).not.toBeNull();
  } finally {
    await metrics.close();
  }
});
