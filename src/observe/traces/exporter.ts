/**
 * Hands batches of spans to OpenTelemetry's exporter (OTLP over HTTP, as JSON), and bounds what that may take.
 *
 * A collector may be away, slow or hostile. A batch has a hard limit, retries included, after which its connection is
 * destroyed, even if an answer comes in drop by drop. One connection is open at a time. Failures are told once a minute at
 * most.
 */
import { Agent } from "node:http";
import { Agent as TlsAgent } from "node:https";
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-http";
import type { ReadableSpan, SpanExporter } from "@opentelemetry/sdk-trace";
import { reasonOf } from "../../contracts/errors.ts";
import type { Logger } from "../../contracts/logger.ts";

type Done = Parameters<SpanExporter["export"]>[1];

/** OpenTelemetry's ExportResultCode. */
const SUCCESS = 0;
const FAILED = 1;
/** All that may wait, at the daemon's end. */
const MOST_BATCHES = 8;
const TOLD_EVERY_MS = 60_000;

export interface BoundedExporterOptions {
  /** The collector's address, without `/v1/traces`. */
  readonly endpoint: string;
  /** A batch may take so long. */
  readonly timeoutMs: number;
  readonly logger: Logger;
  /** So many spans have left: sent, or given up. */
  readonly onLeft: (spans: number, sent: boolean) => void;
}

export class BoundedExporter implements SpanExporter {
  private readonly exporter: OTLPTraceExporter;
  private readonly agent: Agent;
  private toldAt = Number.NEGATIVE_INFINITY;

  constructor(private readonly options: BoundedExporterOptions) {
    const url = new URL(options.endpoint);
    this.agent = new (url.protocol === "https:" ? TlsAgent : Agent)({ keepAlive: true, maxSockets: 1 });
    this.exporter = new OTLPTraceExporter({
      url: `${url.href.replace(/\/+$/, "")}/v1/traces`,
      timeoutMillis: options.timeoutMs,
      concurrencyLimit: MOST_BATCHES,
      httpAgentOptions: () => this.agent,
    });
  }

  export(spans: ReadableSpan[], done: Done): void {
    let settled = false;
    const settle = (result: Parameters<Done>[0]): void => {
      if (settled) return;
      settled = true;
      clearTimeout(timer);
      const sent = result.code === SUCCESS;
      if (!sent) this.tell(result.error);
      this.options.onLeft(spans.length, sent);
      // what became of it is counted and told here
      done({ code: SUCCESS });
    };
    const timer = setTimeout(() => {
      this.agent.destroy();
      settle({ code: FAILED, error: new Error("the collector did not answer in time") });
    }, this.options.timeoutMs);
    timer.unref();
    this.exporter.export(spans, settle);
  }

  shutdown(): Promise<void> {
    return this.exporter.shutdown();
  }

  /** Gives up what is under way. */
  stop(): void {
    this.agent.destroy();
  }

  private tell(error: Error | undefined): void {
    const now = performance.now();
    if (now - this.toldAt < TOLD_EVERY_MS) return;
    this.toldAt = now;
    const reason = reasonOf(error).slice(0, 256);
    this.options.logger.warn({ endpoint: this.options.endpoint, reason }, "traces could not be sent");
  }
}
