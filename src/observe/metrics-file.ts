/**
 * The daemon's own figures as a file: each SIGUSR2 writes `metrics.json` in the state directory, in one piece.
 *
 * It costs nothing until somebody asks. A reader sends the signal and waits for a `sequence` that it has not seen. The
 * event loop's delay counts from the previous reading; the first reading starts it.
 */
import { rename, writeFile } from "node:fs/promises";
import type { Logger } from "../contracts/logger.ts";
import { type LoopDelay, LoopDelayMonitor } from "./loop-delay.ts";

/** The file's content. Memory is in bytes. */
export interface Metrics {
  readonly pid: number;
  /** Counts the readings of this process, from 1. */
  readonly sequence: number;
  readonly uptimeSeconds: number;
  /** Null at the first reading. Milliseconds. */
  readonly loopDelay: LoopDelay | null;
  readonly memory: NodeJS.MemoryUsage;
  /** The figures of the daemon's parts, by part. */
  readonly parts: Readonly<Record<string, unknown>>;
}

export interface MetricsFileOptions {
  readonly file: string;
  /** Asked at each reading. */
  readonly parts: Readonly<Record<string, () => unknown>>;
  readonly logger: Logger;
}

const SIGNAL = "SIGUSR2";

export class MetricsFile {
  private readonly loopDelay = new LoopDelayMonitor();
  private sequence = 0;
  private writing: Promise<void> = Promise.resolve();
  private readonly onSignal = (): void => {
    this.writing = this.writing
      .then(() => this.write())
      .catch((error: unknown) => this.options.logger.warn({ err: error }, "could not write the metrics"));
  };

  constructor(private readonly options: MetricsFileOptions) {}

  /** From now on each SIGUSR2 writes the file. */
  open(): void {
    process.on(SIGNAL, this.onSignal);
  }

  /** Writes the file now. */
  async write(): Promise<void> {
    const { file, parts } = this.options;
    this.sequence += 1;
    const metrics: Metrics = {
      pid: process.pid,
      sequence: this.sequence,
      uptimeSeconds: process.uptime(),
      loopDelay: this.loopDelay.read() ?? null,
      memory: process.memoryUsage(),
      parts: Object.fromEntries(Object.entries(parts).map(([name, ask]) => [name, ask()])),
    };
    await writeFile(`${file}.new`, `${JSON.stringify(metrics)}\n`, { mode: 0o600 });
    await rename(`${file}.new`, file);
  }

  /** Stops listening. From now on SIGUSR2 has its default effect: it ends the process. */
  async close(): Promise<void> {
    process.off(SIGNAL, this.onSignal);
    this.loopDelay.stop();
    await this.writing;
  }
}
