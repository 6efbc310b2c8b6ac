/**
 * Traces: OpenTelemetry's SDK, fed by the history (https://opentelemetry.io/docs/specs/otel/trace/sdk/).
 *
 * A bundle of its own (setup/lib/dist.ts), loaded only if the configuration names a collector. No global of
 * OpenTelemetry's is set but the one that says what becomes of its errors.
 */
import { setGlobalErrorHandler } from "@opentelemetry/core";
import { resourceFromAttributes } from "@opentelemetry/resources";
import { ParentBasedSampler, TraceIdRatioBasedSampler, TracerProvider } from "@opentelemetry/sdk-trace";
import type { HistoryListener } from "../../contracts/history.ts";
import type { Logger } from "../../contracts/logger.ts";
import { SpanQueue } from "./queue.ts";
import { HistorySpans, type TracedPod } from "./spans.ts";

export interface TracesOptions {
  /** The collector's address, such as `http://127.0.0.1:4318`. */
  readonly endpoint: string;
  /** Share of the traces that begin here, from 0 to 1. */
  readonly ratio: number;
  readonly version: string;
  readonly node: string;
  /** Identifies this life of the daemon. */
  readonly instance: string;
  readonly podOf: (sandboxId: string) => TracedPod | undefined;
  readonly logger: Logger;
  /** How long spans wait for others, and how long a batch may take; defaults that suit a daemon. */
  readonly delayMs?: number;
  readonly timeoutMs?: number;
}

/** Running traces. */
export interface Traces {
  readonly listener: HistoryListener;
  /** Spans by what became of them. */
  readonly counts: Readonly<Record<"exported" | "dropped" | "failed", number>>;
  /** Sends what waits, or gives up after a moment. */
  close(): Promise<void>;
}

const DELAY_MS = 1_000;
const TIMEOUT_MS = 5_000;
/** Characters of an attribute. */
const LONGEST_VALUE = 1024;
const MOST_EVENTS = 128;

export function startTraces(options: TracesOptions): Traces {
  const { endpoint, logger, delayMs = DELAY_MS, timeoutMs = TIMEOUT_MS } = options;
  setGlobalErrorHandler((err) => logger.debug({ err }, "OpenTelemetry reports an error"));
  const queue = new SpanQueue({ endpoint, logger, delayMs, timeoutMs });
  const provider = new TracerProvider({
    resource: resourceFromAttributes({
      "service.name": "blazard",
      "service.version": options.version,
      "service.instance.id": options.instance,
      "host.name": options.node,
      "k8s.node.name": options.node,
      "process.pid": process.pid,
    }),
    sampler: new ParentBasedSampler({ root: new TraceIdRatioBasedSampler(options.ratio) }),
    spanLimits: { attributeValueLengthLimit: LONGEST_VALUE, eventCountLimit: MOST_EVENTS },
    spanProcessors: [queue],
  });
  const tracer = provider.getTracer("blazar", options.version);
  return {
    listener: new HistorySpans(tracer, options.podOf),
    counts: queue.counts,
    close: () => provider.shutdown(),
  };
}
