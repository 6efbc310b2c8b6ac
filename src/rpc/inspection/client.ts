/**
 * A client of a daemon's inspection socket, in the words of the inspection contract: for commands and for the page.
 *
 * Connects at the first call, and again after each loss. An error has the daemon's own sentence if it answered at all.
 */
import { Client, type ClientDuplexStream, credentials } from "@grpc/grpc-js";
import type { DrainedSandbox, DrainProgress } from "../../contracts/drain.ts";
import { BlazarError, blazarError } from "../../contracts/errors.ts";
import type { EventSource } from "../../contracts/event-source.ts";
import type {
  ChartDefinition,
  InspectionEvent,
  LogName,
  NodeStatus,
  SandboxDetail,
  SandboxSummary,
  SandboxUsage,
  WatchFilter,
} from "../../contracts/inspection.ts";
import type { Reconciliation } from "../../contracts/reconcile.ts";
import { unixPathProblem } from "../../lib/sockets/unix-socket.ts";
import {
  type DrainedSandbox as DrainedOnWire,
  type DrainProgress as DrainProgressOnWire,
  type ExecRequest,
  type ExecResponse,
  InspectionService,
} from "../generated/blazar/inspection/v1/inspection.ts";
import { callServerStream } from "../grpc/server-stream.ts";
import { callUnary, type UnaryMethod } from "../grpc/unary.ts";
import { fromStatus, isServiceError } from "../status.ts";
import { definitionFromWire } from "./charts.ts";
import { detailFromWire, eventFromWire, summaryFromWire, usageFromWire } from "./messages.ts";
import { nodeFromWire } from "./node.ts";
import { reconciliationFromWire } from "./reconcile.ts";

const FIRST_RECONNECT_MS = 50;
const LAST_RECONNECT_MS = 1_000;
/** Answers come out of the daemon's memory. */
const CALL_MS = 10_000;
/** Guests are asked, one after the other, and a guest may hang. */
const USAGE_MS = 60_000;
/** Pods that are ended have their deadlines. */
const RECONCILE_MS = 120_000;
/** Lists of thousands of sandboxes. */
const MOST_ANSWER_BYTES = 64 * 1024 * 1024;
const OPERATION = "ask the daemon";

const SEE = "see whether blazard runs, as whom, and what its configuration says of [inspection]";
const SILENT = ["it does not answer", SEE] as const;
/** Why nobody can be asked, by the error of connect(2), and what to do. */
const UNREACHABLE: Readonly<Record<string, readonly [reason: string, remedy: string]>> = {
  ENOENT: ["there is no such socket", SEE],
  ENOTDIR: ["there is no such socket", SEE],
  ECONNREFUSED: ["nobody listens there", SEE],
  EACCES: ["this user may not connect to it", "be the user that blazard runs as, which is root"],
  EPERM: ["this user may not connect to it", "be the user that blazard runs as, which is root"],
};

export class InspectionClient {
  private readonly client: Client;
  private readonly streams = new Set<AbortController>();

  /**
   * @param socket absolute path: `inspection.socket` of the daemon's configuration
   * @param callMs how long an answer that is in the daemon's memory may take
   */
  constructor(
    private readonly socket: string,
    private readonly callMs = CALL_MS,
  ) {
    this.client = new Client(`unix:${socket}`, credentials.createInsecure(), {
      "grpc.enable_channelz": 0,
      "grpc.initial_reconnect_backoff_ms": FIRST_RECONNECT_MS,
      "grpc.max_reconnect_backoff_ms": LAST_RECONNECT_MS,
      "grpc.max_receive_message_length": MOST_ANSWER_BYTES,
    });
  }

  async node(): Promise<NodeStatus> {
    return nodeFromWire(await this.call(InspectionService.node, {}));
  }

  async list(): Promise<SandboxSummary[]> {
    const { sandboxes } = await this.call(InspectionService.list, {});
    return sandboxes.map(summaryFromWire);
  }

  /** @param id the whole one. @throws BlazarError of kind `notFound` */
  async get(id: string): Promise<SandboxDetail> {
    return detailFromWire(await this.call(InspectionService.get, { id }));
  }

  async charts(): Promise<ChartDefinition[]> {
    const { charts } = await this.call(InspectionService.charts, {});
    return charts.map(definitionFromWire);
  }

  /** @param ids none = all that run */
  async usage(ids: readonly string[]): Promise<SandboxUsage[]> {
    const { usages } = await this.call(InspectionService.usage, { ids: [...ids] }, USAGE_MS);
    return usages.map(usageFromWire);
  }

  /** Errors when the daemon goes away: subscribe again then; `reset` comes first. */
  watch({ sandboxId = "", entries }: WatchFilter): EventSource<InspectionEvent> {
    return this.stream(InspectionService.watch, { sandboxId, entries }, eventFromWire);
  }

  /** Completes at the log's end, or with the sandbox if it is followed. */
  logs(
    id: string,
    log: LogName,
    options: { readonly tailBytes: number; readonly follow: boolean },
  ): EventSource<Uint8Array> {
    return this.stream(InspectionService.logs, { id, log, ...options }, ({ data }) => data);
  }

  /**
   * Takes all pods off the node; resolves when they have ended, rejects with DeadlineExceeded when the time is over. It goes
   * on in the daemon nevertheless.
   */
  async drain(
    timeoutMs: number,
    onProgress: (progress: DrainProgress) => void = () => undefined,
  ): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      const read = ({ left, ended }: DrainProgressOnWire): DrainProgress => ({
        left,
        ended: ended && drainedFromWire(ended),
      });
      // it ends by the daemon's own time, unless the daemon does not run
      const patience = timeoutMs + this.callMs;
      this.stream(InspectionService.drain, { timeoutMs }, read, patience).subscribe({
        next: onProgress,
        error: reject,
        complete: resolve,
      });
    });
  }

  /** The daemon takes new pods again. */
  async undrain(): Promise<void> {
    await this.call(InspectionService.undrain, {});
  }

  /** Has the daemon compare the host with the journals. @param fix it does what there is to do */
  async reconcile(fix: boolean): Promise<Reconciliation> {
    return reconciliationFromWire(await this.call(InspectionService.reconcile, { fix }, RECONCILE_MS));
  }

  /** The wire's own messages: the first one sent has `start`, the last one received `status`. */
  exec(): ClientDuplexStream<ExecRequest, ExecResponse> {
    const { path, requestSerialize, responseDeserialize } = InspectionService.exec;
    return this.client.makeBidiStreamRequest(path, requestSerialize, responseDeserialize);
  }

  /** The error of a stream of {@link exec}, in the daemon's words. */
  errorOf(error: unknown): unknown {
    if (!isServiceError(error)) return error;
    const known = fromStatus(error.code, error.details, OPERATION, error);
    const sentence = /^cannot (.+?)(?: \(([^()]*)\))?: (.*)$/s.exec(error.details);
    if (sentence !== null) {
      const [, operation = "", subject, reason = ""] = sentence;
      // nothing else is asked for by a name
      const code = known.kind === "notFound" ? "SandboxNotFound" : known.code;
      return new BlazarError(code, { operation, subject, reason, cause: error });
    }
    const isLate = known.kind === "deadlineExceeded";
    if (known.kind !== "unavailable" && !isLate) return known;
    const [reason, remedy] = isLate
      ? (["it has not answered in time", "blazar doctor says what its process does"] as const)
      : this.whyUnavailable(error.details);
    return blazarError("RemoteUnavailable", OPERATION, reason, {
      subject: this.socket,
      remedy,
      cause: error,
    });
  }

  /** What is subscribed to hears nothing more. */
  close(): void {
    for (const stream of this.streams) stream.abort();
    this.client.close();
  }

  /** grpc-js tells a system call's error in words only. */
  private whyUnavailable(details: string): readonly [reason: string, remedy: string] {
    const problem = unixPathProblem(this.socket);
    if (problem !== undefined) return [problem, SEE];
    const code = /\bconnect (E[A-Z]+)\b/.exec(details)?.[1] ?? "";
    return Object.hasOwn(UNREACHABLE, code) ? (UNREACHABLE[code] ?? SILENT) : SILENT;
  }

  private async call<Req, Res>(
    method: UnaryMethod<Req, Res>,
    request: Req,
    timeoutMs = this.callMs,
  ): Promise<Res> {
    try {
      return await callUnary(this.client, method, request, { timeoutMs });
    } catch (error) {
      throw this.errorOf(error);
    }
  }

  private stream<Req, Res, Event>(
    method: UnaryMethod<Req, Res>,
    request: Req,
    read: (message: Res) => Event | undefined,
    timeoutMs?: number,
  ): EventSource<Event> {
    return {
      subscribe: (observer) => {
        const left = new AbortController();
        this.streams.add(left);
        const fail = (error: unknown): void => {
          if (left.signal.aborted) return;
          left.abort();
          observer.error(this.errorOf(error));
        };
        const next = (message: Res): void => {
          if (left.signal.aborted) return;
          try {
            const event = read(message);
            if (event !== undefined) observer.next(event);
          } catch (error) {
            fail(error);
          }
        };
        callServerStream(this.client, method, request, next, { signal: left.signal, timeoutMs })
          .then(() => {
            if (!left.signal.aborted) observer.complete();
          }, fail)
          .finally(() => this.streams.delete(left));
        return { unsubscribe: () => left.abort() };
      },
    };
  }
}

function drainedFromWire({ id, pod, state, leftovers }: DrainedOnWire): DrainedSandbox {
  return { id, pod: { name: pod?.name ?? "", namespace: pod?.namespace ?? "" }, state, leftovers };
}
