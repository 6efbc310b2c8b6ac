/**
 * A collector for tests: takes OTLP over HTTP as JSON, and can be as unpleasant as a real one is on a bad day.
 *
 * The messages are those of opentelemetry-proto's ExportTraceServiceRequest.
 */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

export interface ReceivedSpan {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId: string;
  readonly name: string;
  /** SPAN_KIND_*: 1 internal, 2 server, 3 client. */
  readonly kind: number;
  /** Milliseconds since the epoch. */
  readonly start: number;
  readonly end: number;
  readonly attributes: Readonly<Record<string, unknown>>;
  readonly events: readonly string[];
  /** Of a span that failed. */
  readonly error: string | undefined;
  readonly resource: Readonly<Record<string, unknown>>;
}

/** What it does with a request: `drip` answers a byte a moment for ever, `flood` answers without end. */
export type Manner = "take" | "silent" | "refuse" | "hangUp" | "drip" | "flood";

interface AnyValue {
  readonly stringValue?: string;
  readonly intValue?: number | string;
  readonly boolValue?: boolean;
}
type Pairs = readonly { readonly key: string; readonly value: AnyValue }[];
interface OtlpSpan {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly name: string;
  readonly kind: number;
  readonly startTimeUnixNano: string;
  readonly endTimeUnixNano: string;
  readonly attributes?: Pairs;
  readonly events?: readonly { readonly name: string }[];
  readonly status?: { readonly code?: number; readonly message?: string };
}
interface OtlpRequest {
  readonly resourceSpans?: readonly {
    readonly resource?: { readonly attributes?: Pairs };
    readonly scopeSpans?: readonly { readonly spans?: readonly OtlpSpan[] }[];
  }[];
}

const NANOSECONDS = 1e6;
const STATUS_ERROR = 2;

export class OtlpReceiver {
  readonly spans: ReceivedSpan[] = [];
  requests = 0;
  manner: Manner = "take";
  private readonly server = createServer((request, response) => void this.serve(request, response));

  async listen(): Promise<string> {
    await new Promise<void>((resolve) => {
      this.server.listen(0, "127.0.0.1", () => resolve());
    });
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  close(): void {
    this.server.closeAllConnections();
    this.server.close();
  }

  find(name: string): ReceivedSpan | undefined {
    return this.spans.find((span) => span.name === name);
  }

  private async serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    this.requests++;
    response.on("error", () => undefined);
    if (this.manner === "hangUp") return void request.socket.destroy();
    const body = await textOf(request);
    switch (this.manner) {
      case "silent":
        return undefined;
      case "refuse":
        response.writeHead(400).end("no");
        return undefined;
      case "drip":
        return drip(response);
      case "flood":
        return flood(response);
      default:
        // containerd's exporter knows protobuf only: its spans are taken unread
        if (request.headers["content-type"] === "application/json")
          this.spans.push(...readSpans(JSON.parse(body) as OtlpRequest));
        response.writeHead(200, { "content-type": "application/json" }).end("{}");
        return undefined;
    }
  }
}

/** A span and those above it, the topmost last; as far as they are among these. */
export function lineage(spans: readonly ReceivedSpan[], span: ReceivedSpan | undefined): ReceivedSpan[] {
  const above: ReceivedSpan[] = [];
  for (let each = span; each !== undefined; ) {
    above.push(each);
    const { parentSpanId, traceId } = each;
    each = spans.find((other) => other.spanId === parentSpanId && other.traceId === traceId);
  }
  return above;
}

/** The spans of one request, or of a line of the collector's file exporter. */
export function readSpans({ resourceSpans = [] }: OtlpRequest): ReceivedSpan[] {
  return resourceSpans.flatMap(({ resource, scopeSpans = [] }) =>
    scopeSpans.flatMap(({ spans = [] }) => spans.map((span) => toSpan(span, plain(resource?.attributes)))),
  );
}

function toSpan(span: OtlpSpan, resource: ReceivedSpan["resource"]): ReceivedSpan {
  const { traceId, spanId, parentSpanId = "", name, kind, status } = span;
  return {
    ...{ traceId, spanId, parentSpanId, name, kind, resource },
    start: Number(span.startTimeUnixNano) / NANOSECONDS,
    end: Number(span.endTimeUnixNano) / NANOSECONDS,
    attributes: plain(span.attributes),
    events: (span.events ?? []).map((event) => event.name),
    error: status?.code === STATUS_ERROR ? (status.message ?? "") : undefined,
  };
}

function plain(pairs: Pairs = []): Record<string, unknown> {
  return Object.fromEntries(
    pairs.map(({ key, value }) => [key, value.stringValue ?? value.boolValue ?? Number(value.intValue)]),
  );
}

async function textOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString();
}

function drip(response: ServerResponse): void {
  response.writeHead(200);
  const timer = setInterval(() => response.write(" "), 20);
  response.on("close", () => clearInterval(timer));
}

function flood(response: ServerResponse): void {
  response.writeHead(200);
  const chunk = "x".repeat(64 * 1024);
  const more = (): void => {
    while (!response.destroyed && response.write(chunk));
  };
  response.on("drain", more);
  more();
}
