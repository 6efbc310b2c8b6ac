/** Requests to the keeper whose caller gives up: what was done all the same is undone, exactly once. */
import { describe, expect, it } from "vitest";
import { KeeperRequests } from "../../../src/host/keeper/requests.ts";
import { type Deferred, deferred } from "../../../src/lib/async.ts";
import type { Peer } from "../../../src/protocol/wire/peer.ts";

const IDENTITY = { pid: 7, startTime: 70, taps: [] };
const FORK = { id: "fork", original: "original", words: [] };

class Bench {
  readonly told: string[] = [];
  private readonly answer: Deferred<unknown> = deferred();

  fork(signal: AbortSignal | undefined, timeoutMs = 10_000): Promise<unknown> {
    const peer = { attached: true, request: () => ({ id: 1, result: this.answer.promise }) };
    const requests = new KeeperRequests(peer as unknown as Peer, timeoutMs);
    return requests.sendOrUndo("process.fork", FORK, FORK.id, signal, {
      done: () => this.told.push("done"),
      undo: async () => {
        this.told.push("undone");
      },
    });
  }

  /** The keeper answers. */
  async answers(): Promise<void> {
    this.answer.resolve(IDENTITY);
    await new Promise((resolve) => setImmediate(resolve));
  }
}

describe("a request that must not be left half done", () => {
  it("is done when it is answered in time, whatever happens later", async () => {
    const [bench, abort] = [new Bench(), new AbortController()];
    const asked = bench.fork(abort.signal);
    await bench.answers();
    abort.abort();
    await expect(asked).resolves.toEqual(IDENTITY);
    expect(bench.told).toEqual(["done"]);
  });

  it("is undone when the answer comes after the caller has given up", async () => {
    const [bench, abort] = [new Bench(), new AbortController()];
    const asked = bench.fork(abort.signal);
    abort.abort();
    await expect(asked).rejects.toMatchObject({ code: "Cancelled" });
    expect(bench.told).toEqual([]);
    await bench.answers();
    expect(bench.told).toEqual(["done", "undone"]);
  });

  it("is undone when the answer comes in the moment of giving up", async () => {
    const [bench, abort] = [new Bench(), new AbortController()];
    const asked = bench.fork(abort.signal);
    abort.abort();
    const answered = bench.answers();
    await expect(asked).rejects.toMatchObject({ code: "Cancelled" });
    await answered;
    expect(bench.told).toEqual(["done", "undone"]);
  });

  it("is undone when the answer comes too late", async () => {
    const bench = new Bench();
    await expect(bench.fork(undefined, 5)).rejects.toMatchObject({ code: "DeadlineExceeded" });
    await bench.answers();
    expect(bench.told).toEqual(["done", "undone"]);
  });
});
