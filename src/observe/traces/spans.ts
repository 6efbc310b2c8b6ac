/**
 * Makes spans of what the history tells: calls, effects and steps are spans, transitions and notes are events on them.
 *
 * The tree is the history's: an entry is a child of its cause. A call with the trace context of its caller is a child of the
 * caller's span (W3C Trace Context). A transition is no span, so what it has caused belongs to the innermost span around it
 * that goes on. Names and attributes follow OpenTelemetry's semantic conventions. Must never throw or wait.
 */

import {
  type Attributes,
  type HrTime,
  ROOT_CONTEXT,
  type Span,
  type SpanContext,
  SpanKind,
  SpanStatusCode,
  type Tracer,
  trace,
} from "@opentelemetry/api";
import { takesTime } from "../../charts/entries.ts";
import type { ErrorCode } from "../../contracts/errors.ts";
import type { HistoryListener } from "../../contracts/history.ts";
import type { HistoryEntry } from "../../contracts/inspection.ts";
import { parseTraceparent } from "./traceparent.ts";

/** What a pod is called. */
export interface TracedPod {
  readonly name: string;
  readonly namespace: string;
  readonly uid: string;
}

/** What stands for an entry in the tree of spans. */
interface Node {
  readonly context: SpanContext;
  /** Undefined if it has ended, or never was one of ours. */
  span: Span | undefined;
  readonly parent: Node | undefined;
}

/** Of one sandbox; the oldest make room. */
const MOST_NODES = 512;
const MILLISECONDS = 1000;
const NANOSECONDS = 1e6;

/** Who serves a call, by the first word of its name. */
const SERVICES: Readonly<Record<string, { readonly system: string; readonly service: string }>> = {
  Controller: { system: "grpc", service: "containerd.services.sandbox.v1.Controller" },
  Task: { system: "ttrpc", service: "containerd.task.v3.Task" },
};

export class HistorySpans implements HistoryListener {
  private readonly sandboxes = new Map<string, Map<number, Node>>();

  constructor(
    private readonly tracer: Tracer,
    private readonly podOf: (sandboxId: string) => TracedPod | undefined,
  ) {}

  began(sandboxId: string, entry: HistoryEntry, traceparent?: string): void {
    this.start(sandboxId, entry, traceparent);
  }

  ended(sandboxId: string, entry: HistoryEntry, code?: ErrorCode): void {
    if (!takesTime(entry)) return this.happened(sandboxId, entry);
    const node = this.nodesOf(sandboxId).get(entry.id) ?? this.start(sandboxId, entry, undefined);
    const { span } = node;
    node.span = undefined;
    if (span === undefined) return;
    span.setAttributes(this.attributesOf(sandboxId, entry));
    if (entry.error !== undefined) {
      span.setStatus({ code: SpanStatusCode.ERROR, message: entry.error });
      span.setAttribute("error.type", code ?? "Internal");
    }
    span.end(timeOf(entry.at + (entry.ms ?? 0)));
  }

  removed(sandboxId: string): void {
    const nodes = this.sandboxes.get(sandboxId);
    this.sandboxes.delete(sandboxId);
    for (const { span } of nodes?.values() ?? []) span?.end();
  }

  private start(sandboxId: string, entry: HistoryEntry, traceparent: string | undefined): Node {
    const parent = this.parentOf(sandboxId, entry);
    const above = callerOf(traceparent) ?? parent?.context;
    const around = above === undefined ? ROOT_CONTEXT : trace.setSpanContext(ROOT_CONTEXT, above);
    const options = { kind: kindOf(entry), startTime: timeOf(entry.at) };
    const span = this.tracer.startSpan(nameOf(entry), options, around);
    return this.keep(sandboxId, entry.id, { context: span.spanContext(), span, parent });
  }

  /** An event on the innermost span that goes on; without one, a span of no length. */
  private happened(sandboxId: string, entry: HistoryEntry): void {
    const cause = this.parentOf(sandboxId, entry);
    const living = livingAt(cause);
    if (living === undefined) {
      const node = this.start(sandboxId, entry, undefined);
      node.span?.setAttributes(this.attributesOf(sandboxId, entry));
      node.span?.end(timeOf(entry.at));
      node.span = undefined;
      return;
    }
    living.span?.addEvent(nameOf(entry), eventAttributes(entry), timeOf(entry.at));
    this.keep(sandboxId, entry.id, living);
  }

  private parentOf(sandboxId: string, { cause }: HistoryEntry): Node | undefined {
    return cause === undefined ? undefined : this.nodesOf(sandboxId).get(cause);
  }

  private nodesOf(sandboxId: string): Map<number, Node> {
    const known = this.sandboxes.get(sandboxId);
    if (known !== undefined) return known;
    const nodes = new Map<number, Node>();
    this.sandboxes.set(sandboxId, nodes);
    return nodes;
  }

  private keep(sandboxId: string, id: number, node: Node): Node {
    const nodes = this.nodesOf(sandboxId);
    nodes.set(id, node);
    const [oldest] = nodes.keys();
    if (nodes.size > MOST_NODES && oldest !== undefined) nodes.delete(oldest);
    return node;
  }

  private attributesOf(sandboxId: string, entry: HistoryEntry): Attributes {
    const pod = this.podOf(sandboxId);
    const [kind, container] = entry.chart?.split("/") ?? [];
    return {
      "blazar.sandbox.id": sandboxId,
      ...(kind === undefined ? {} : { "blazar.chart": kind }),
      ...(container === undefined ? {} : { "container.id": container }),
      ...(pod === undefined
        ? {}
        : { "k8s.pod.name": pod.name, "k8s.namespace.name": pod.namespace, "k8s.pod.uid": pod.uid }),
      ...(entry.kind === "call" ? callAttributes(entry.name) : {}),
    };
  }
}

function livingAt(node: Node | undefined): Node | undefined {
  let each = node;
  while (each !== undefined && each.span === undefined) each = each.parent;
  return each;
}

function callerOf(traceparent: string | undefined): SpanContext | undefined {
  const parent = parseTraceparent(traceparent);
  if (parent === undefined) return undefined;
  const { traceId, spanId, flags } = parent;
  return { traceId, spanId, traceFlags: flags & 1, isRemote: true };
}

function kindOf({ kind, ms }: HistoryEntry): SpanKind {
  if (kind === "call") return SpanKind.SERVER;
  // a step that is told afterwards is a part of another's
  return kind === "step" && ms === undefined ? SpanKind.CLIENT : SpanKind.INTERNAL;
}

/** `Controller.Start` → `containerd.services.sandbox.v1.Controller/Start`. */
function nameOf({ kind, name, chart, from, to }: HistoryEntry): string {
  if (kind === "transition") return `${chart?.split("/")[0] ?? ""} ${from === "" ? "" : `${from} `}→ ${to}`;
  if (kind !== "call") return name;
  const [first = "", method = ""] = name.split(".");
  const service = SERVICES[first]?.service;
  return service === undefined ? name : `${service}/${method}`;
}

function callAttributes(name: string): Attributes {
  const [first = "", method = ""] = name.split(".");
  const known = SERVICES[first];
  return known === undefined
    ? {}
    : { "rpc.system": known.system, "rpc.service": known.service, "rpc.method": method };
}

function eventAttributes({ kind, name, error }: HistoryEntry): Attributes {
  return {
    ...(kind === "transition" ? { "blazar.event": name } : {}),
    ...(error === undefined ? {} : { "exception.message": error }),
  };
}

function timeOf(ms: number): HrTime {
  const seconds = Math.floor(ms / MILLISECONDS);
  return [seconds, Math.round((ms - seconds * MILLISECONDS) * NANOSECONDS)];
}
