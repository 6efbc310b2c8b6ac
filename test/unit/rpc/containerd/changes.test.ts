/** The stream of containerd's events is opened again after each loss, ever more seldom; only a refusal is told, once. */
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { blazarError, type ErrorCode } from "../../../../src/contracts/errors.ts";
import type { SnapshotChange } from "../../../../src/contracts/snapshots.ts";
import { type Deferred, deferred } from "../../../../src/lib/async.ts";
import { type ChangesOptions, SnapshotChanges } from "../../../../src/rpc/containerd/changes.ts";
import type { Envelope } from "../../../../src/rpc/generated/containerd/types/types.ts";
import { CapturedLogger } from "../../../support/captured-logger.ts";

type Connection = ChangesOptions["connection"];

/** A containerd that answers as the test says. */
class FakeConnection {
  readonly streams: { send: (topic: string) => void; filters: string[]; end: Deferred<void> }[] = [];
  refusal: ErrorCode | undefined;
  /** Whether other calls are refused as well. */
  refusesAll = true;

  async ready(): Promise<void> {
    if (this.refusal === "RemoteUnavailable") throw this.error();
  }

  follow: Connection["follow"] = (_method, request, onMessage) => {
    const end = deferred<void>();
    const { filters } = request as { filters: string[] };
    const envelope = (topic: string): Envelope => ({
      timestamp: undefined,
      namespace: "k8s.io",
      topic,
      event: undefined,
    });
    this.streams.push({ send: (topic) => onMessage(envelope(topic) as never), filters, end });
    if (this.refusal !== undefined) end.reject(this.error());
    return end.promise;
  };

  call: Connection["call"] = async () => {
    if (this.refusal !== undefined && this.refusesAll) throw this.error();
    return { leases: [] } as never;
  };

  private error() {
    return blazarError(this.refusal ?? "Internal", "call containerd", "the test says so");
  }
}

function following() {
  const connection = new FakeConnection();
  const logger = new CapturedLogger();
  const seen: SnapshotChange[] = [];
  const changes = new SnapshotChanges({ connection, namespace: "k8s.io", logger });
  const observer = { next: (change: SnapshotChange) => seen.push(change) };
  const subscription = changes.subscribe({ ...observer, error: () => undefined, complete: () => undefined });
  return { connection, logger, seen, changes, subscription };
}

beforeEach(() => {
  vi.useFakeTimers();
});

afterEach(() => {
  vi.useRealTimers();
});

describe("containerd's events", () => {
  it("become changes; others are not asked for, and not passed on", async () => {
    const { connection, seen, subscription } = following();
    await vi.advanceTimersByTimeAsync(0);
    const [stream] = connection.streams;
    expect(stream?.filters).toContain('namespace=="k8s.io",topic=="/snapshot/commit"');
    expect(stream?.filters.join()).not.toContain("/snapshot/prepare");
    for (const topic of ["/snapshot/commit", "/images/delete", "/tasks/exit", "toString"])
      stream?.send(topic);
    expect(seen).toEqual(["connected", "layer", "image"]);
    subscription.unsubscribe();
  });

  it("are asked for again after a loss, and nothing is told of it", async () => {
    const { connection, logger, seen, subscription } = following();
    await vi.advanceTimersByTimeAsync(0);
    connection.streams[0]?.end.reject(blazarError("RemoteUnavailable", "call containerd", "it has ended"));
    await vi.advanceTimersByTimeAsync(1_000);
    expect(seen).toEqual(["connected", "connected"]);
    expect(logger.lines).toEqual([]);
    subscription.unsubscribe();
  });

  it("that are refused are told once, asked for ever more seldom, and told anew after they went well", async () => {
    const { connection, logger, seen, subscription } = following();
    connection.refusal = "Unimplemented";
    await vi.advanceTimersByTimeAsync(60_000);
    const tried = connection.streams.length;
    expect(tried).toBeLessThan(15);
    await vi.advanceTimersByTimeAsync(60_000);
    // no more than one in ten seconds, and not fewer for ever
    expect(connection.streams.length - tried).toBe(6);
    expect(logger.lines).toHaveLength(1);
    connection.refusal = undefined;
    await vi.advanceTimersByTimeAsync(25_000);
    expect(seen).toEqual(["connected"]);
    connection.refusal = "PermissionDenied";
    connection.streams.at(-1)?.end.reject(blazarError("PermissionDenied", "call containerd", "no more"));
    await vi.advanceTimersByTimeAsync(60_000);
    expect(logger.lines).toHaveLength(2);
    subscription.unsubscribe();
  });

  it("that alone are refused are told once", async () => {
    const { connection, logger, subscription } = following();
    connection.refusal = "Internal";
    connection.refusesAll = false;
    await vi.advanceTimersByTimeAsync(60_000);
    expect(logger.lines).toHaveLength(1);
    expect(connection.streams.length).toBeLessThan(15);
    subscription.unsubscribe();
  });

  it.each(["unsubscribe", "close"])("end with %s, and leave no timer", async (how) => {
    const { connection, seen, changes, subscription } = following();
    connection.refusal = "RemoteUnavailable";
    await vi.advanceTimersByTimeAsync(5_000);
    if (how === "close") changes.close();
    else subscription.unsubscribe();
    connection.refusal = undefined;
    await vi.advanceTimersByTimeAsync(60_000);
    expect(seen).toEqual([]);
    expect(vi.getTimerCount()).toBe(0);
  });
});
