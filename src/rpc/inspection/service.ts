/**
 * The inspection adapter: from blazar.inspection.v1.Inspection to the port `Inspection`.
 *
 * Translates messages, and bounds what waits for a slow reader: a watcher that has missed something is subscribed anew,
 * which tells it `reset` and every summary. Exec is another port's; without it, it is answered Unimplemented.
 */
import type {
  handleBidiStreamingCall,
  handleServerStreamingCall,
  handleUnaryCall,
  ServerWritableStream,
  sendUnaryData,
} from "@grpc/grpc-js";
import { blazarError } from "../../contracts/errors.ts";
import type { EventSource } from "../../contracts/event-source.ts";
import type { Inspection } from "../../contracts/inspection.ts";
import type {
  ExecRequest,
  ExecResponse,
  InspectionServer,
  LogsRequest,
  LogsResponse,
  WatchRequest,
  WatchResponse,
} from "../generated/blazar/inspection/v1/inspection.ts";
import { toServiceError } from "../status.ts";
import { BoundedStream } from "./bounded-stream.ts";
import { definitionToWire } from "./charts.ts";
import { toLogName } from "./checks.ts";
import { type DrainHandlers, NO_DRAIN } from "./drain.ts";
import { detailToWire, eventToWire, summaryToWire, usageToWire } from "./messages.ts";
import { nodeToWire } from "./node.ts";
import { type PlacedCall, Places } from "./places.ts";
import { NO_RECONCILER, type ReconcileHandler } from "./reconcile.ts";

/** Questions that are answered at once: an answer may take 100 KB and more. */
const MOST_ANSWERS = 256;
/** Those among them for which guests, the host or containerd are asked. */
const MOST_LOOKS = 8;
/** Streams at once, of all kinds: `ps -w` and `logs -f` are one each, a tab of the page has up to six. */
const MOST_STREAMS = 64;
/** Events that may wait for a watcher. */
const MOST_EVENTS = 1024;
/** Bytes of a log that may wait for its reader. */
const MOST_LOG_BYTES = 1024 * 1024;
/** More of a log's end is not told. */
const MOST_TAIL_BYTES = 16 * 1024 * 1024;
/** gRPC's readers take 4 MiB at most. */
const LOG_MESSAGE_BYTES = 64 * 1024;
const LOG_LOST = new TextEncoder().encode("\n[a part is missing here: it came faster than it was read]\n");

/** What serves Exec. It answers and ends the call by itself. */
export type ExecHandler = handleBidiStreamingCall<ExecRequest, ExecResponse>;

export function createInspectionService(
  inspection: Inspection,
  exec: ExecHandler = refuseExec,
  drain: DrainHandlers = NO_DRAIN,
  reconcile: ReconcileHandler = NO_RECONCILER,
) {
  const answers = new Places(MOST_ANSWERS, "questions without an answer");
  const looks = new Places(MOST_LOOKS, "questions about usage or what is left");
  const streams = new Places(MOST_STREAMS, "watchers, logs and execs");
  return {
    node: placed(answers)(
      unary(async () => {
        await inspection.look();
        return nodeToWire(inspection.node());
      }),
    ),
    list: placed(answers)(unary(() => ({ sandboxes: inspection.list().map(summaryToWire) }))),
    get: placed(answers)(unary(async ({ id }: { id: string }) => detailToWire(await inspection.get(id)))),
    watch: placedStream(streams)(watch(inspection)),
    charts: placed(answers)(unary(() => ({ charts: inspection.charts().map(definitionToWire) }))),
    usage: placed(looks)(
      unary(async ({ ids }: { ids: string[] }) => ({
        usages: (await inspection.usage(ids)).map(usageToWire),
      })),
    ),
    logs: placedStream(streams)(logs(inspection)),
    exec: placedStream(streams)(exec),
    // never refused, however busy the socket is
    ...drain,
    reconcile: placed(looks)(reconcile),
  } satisfies InspectionServer;
}

/** A question that is answered only if there is a place for it. */
function placed(places: Places) {
  return <Call extends PlacedCall, Res>(handle: (call: Call, callback: sendUnaryData<Res>) => void) =>
    (call: Call, callback: sendUnaryData<Res>): void => {
      try {
        places.takeFor(call);
      } catch (error) {
        return callback(toServiceError(error));
      }
      handle(call, callback);
    };
}

/** The same of a stream. */
function placedStream(places: Places) {
  return <Call extends PlacedCall & { emit(event: "error", error: Error): unknown }>(
    handle: (call: Call) => void,
  ) =>
    (call: Call): void => {
      try {
        places.takeFor(call);
      } catch (error) {
        return void call.emit("error", toServiceError(error));
      }
      handle(call);
    };
}

function unary<Req, Res>(handle: (request: Req) => Res | Promise<Res>): handleUnaryCall<Req, Res> {
  return async (call, callback) => {
    let response: Res;
    try {
      response = await handle(call.request);
    } catch (error) {
      return callback(toServiceError(error));
    }
    callback(null, response);
  };
}

function watch(inspection: Inspection): handleServerStreamingCall<WatchRequest, WatchResponse> {
  return streaming((call) => {
    const { sandboxId, entries } = call.request;
    const filter = { entries, ...(sandboxId === "" ? {} : { sandboxId }) };
    let subscription = { unsubscribe: (): void => undefined };
    const stream = new BoundedStream<WatchResponse>(call, {
      most: MOST_EVENTS,
      sizeOf: () => 1,
      onLost: () => subscribe(),
    });
    const subscribe = (): void => {
      subscription.unsubscribe();
      stream.whole(() => {
        subscription = relay(inspection.watch(filter), call, stream, (event) => {
          stream.send(eventToWire(event));
          if (stream.isLost) subscription.unsubscribe();
        });
      });
    };
    subscribe();
    return () => subscription.unsubscribe();
  });
}

function logs(inspection: Inspection): handleServerStreamingCall<LogsRequest, LogsResponse> {
  return streaming((call) => {
    const { id, log, tailBytes, follow } = call.request;
    const options = { tailBytes: Math.min(tailBytes, MOST_TAIL_BYTES), follow };
    const source = inspection.logs(id, toLogName(log), options);
    const stream: BoundedStream<LogsResponse> = new BoundedStream<LogsResponse>(call, {
      most: Math.max(MOST_LOG_BYTES, options.tailBytes),
      sizeOf: ({ data }) => data.length,
      onLost: () => stream.send({ data: LOG_LOST }),
    });
    const subscription = relay(source, call, stream, (bytes) => {
      for (let at = 0; at < bytes.length; at += LOG_MESSAGE_BYTES)
        stream.send({ data: bytes.subarray(at, at + LOG_MESSAGE_BYTES) });
    });
    return () => subscription.unsubscribe();
  });
}

/** Passes a source's end and its error on. */
function relay<Event, Message>(
  source: EventSource<Event>,
  call: ServerWritableStream<unknown, Message>,
  stream: BoundedStream<Message>,
  next: (event: Event) => void,
): { unsubscribe(): void } {
  return source.subscribe({
    next,
    error: (error) => call.emit("error", toServiceError(error)),
    complete: () => stream.end(),
  });
}

/** Answers a stream. `begin` returns what ends it when nobody reads any more. */
function streaming<Req, Res>(
  begin: (call: ServerWritableStream<Req, Res>) => () => void,
): handleServerStreamingCall<Req, Res> {
  return (call) => {
    try {
      const end = begin(call);
      if (call.cancelled) end();
      else call.once("cancelled", end);
      call.once("close", end);
    } catch (error) {
      call.emit("error", toServiceError(error));
    }
  };
}

const refuseExec: ExecHandler = (call) => {
  const error = blazarError("Unimplemented", "run a command in the guest", "this daemon does not offer it");
  call.emit("error", toServiceError(error));
};
