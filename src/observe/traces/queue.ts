/**
 * Spans on their way to the collector: OpenTelemetry's batches behind a bound of our own, which is counted.
 *
 * Beyond the bound a span is dropped. Must never make a caller wait.
 */
import type { ReadableSpan, SpanProcessor } from "@opentelemetry/sdk-trace";
import { BatchSpanProcessor } from "@opentelemetry/sdk-trace";
import { within } from "../../lib/async.ts";
import { BoundedExporter, type BoundedExporterOptions } from "./exporter.ts";

/** Spans that wait or are under way; one takes about 2 KB. */
const MOST_WAITING = 2048;
const BATCH = 256;
const SAMPLED = 1;
const LAST_MS = 2_000;
/** The batches' own patience: the exporter has given up by then. */
const SPARE_MS = 5_000;

export interface SpanQueueOptions extends Pick<BoundedExporterOptions, "endpoint" | "timeoutMs" | "logger"> {
  /** How long spans wait for others. */
  readonly delayMs: number;
}

export class SpanQueue implements SpanProcessor {
  private readonly batches: BatchSpanProcessor;
  private readonly exporter: BoundedExporter;
  private waiting = 0;
  readonly counts = { exported: 0, dropped: 0, failed: 0 };

  constructor(options: SpanQueueOptions) {
    const onLeft = (spans: number, sent: boolean): void => {
      this.waiting -= spans;
      this.counts[sent ? "exported" : "failed"] += spans;
    };
    this.exporter = new BoundedExporter({ ...options, onLeft });
    this.batches = new BatchSpanProcessor({
      exporter: this.exporter,
      maxQueueSize: MOST_WAITING,
      maxExportBatchSize: BATCH,
      scheduledDelayMillis: options.delayMs,
      exportTimeoutMillis: options.timeoutMs + SPARE_MS,
    });
  }

  onStart(): void {
    // spans are sent when they have ended
  }

  onEnd(span: ReadableSpan): void {
    if ((span.spanContext().traceFlags & SAMPLED) === 0) return;
    if (this.waiting >= MOST_WAITING) {
      this.counts.dropped++;
      return;
    }
    this.waiting++;
    this.batches.onEnd(span);
  }

  forceFlush(): Promise<void> {
    return this.batches.forceFlush();
  }

  /** Sends what waits, if that takes no longer than `LAST_MS`. */
  async shutdown(): Promise<void> {
    await within(this.batches.shutdown(), LAST_MS);
    this.exporter.stop();
  }
}
