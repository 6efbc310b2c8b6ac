import { describe, expect, it } from "vitest";
import { StdioRelay, type StreamLink } from "../../../../src/actors/guest/stdio-relay.ts";
import type { StdioBinding, StdioHandlers, StdioPaths } from "../../../../src/contracts/keeper.ts";
import { type Frame, FrameType } from "../../../../src/protocol/wire/frame.ts";
import { FrameDecoder } from "../../../../src/protocol/wire/frame-decoder.ts";
import type { StreamHandler } from "../../../../src/protocol/wire/peer.ts";

/** A guest link that keeps what is sent, and a keeper that keeps what it is told. */
function bench(paths: Partial<StdioPaths> = {}, terminal = false) {
  const toGuest: Frame[] = [];
  const streams = new Map<number, StreamHandler>();
  let next = 1;
  const push = (bytes: Uint8Array) => new FrameDecoder(1 << 20).push(bytes, (frame) => toGuest.push(frame));
  const link: StreamLink = {
    allotStream: () => next++,
    openStream: (id, handler) => {
      streams.set(id, handler);
      handler.attached?.();
    },
    closeStream: (id) => streams.delete(id),
    sendFrame: push,
    sendData: (stream, sequence, payload) =>
      toGuest.push({ type: FrameType.Data, stream, sequence, payload }),
    sendEnd: (stream, sequence) =>
      toGuest.push({ type: FrameType.Eof, stream, sequence, payload: new Uint8Array() }),
  };
  const calls: unknown[][] = [];
  let handlers: StdioHandlers | undefined;
  let opened: StdioPaths | undefined;
  const binding: StdioBinding = {
    data: (stream, offset, bytes) => calls.push(["data", stream, offset, [...bytes]]),
    end: (stream, offset) => calls.push(["end", stream, offset]),
    acknowledgeInput: (offset, window) => calls.push(["ack", offset, window]),
    closeInput: async () => void calls.push(["closeInput"]),
    close: async () => void calls.push(["close"]),
  };
  const relay = new StdioRelay(
    link,
    "c1/",
    { stdin: "/in", stdout: "/out", stderr: "/err", ...paths },
    terminal,
  );
  const host = {
    openStdio: (_: string, given: StdioPaths, given2: StdioHandlers) => {
      opened = given;
      handlers = given2;
      return Promise.resolve(binding);
    },
  };
  return { relay, host, toGuest, streams, calls, keeper: () => handlers, opened: () => opened };
}

describe("a stdio relay", () => {
  it("passes output on with its offsets, and the credit back", async () => {
    const { relay, host, streams, calls, toGuest, keeper } = bench();
    await relay.open(host);
    keeper()?.acknowledged("stdout", 0, 100);
    expect(toGuest).toMatchObject([{ type: FrameType.Ack, stream: relay.streams.stdout, sequence: 0 }]);
    streams.get(relay.streams.stdout)?.data?.(5, Uint8Array.of(1, 2));
    expect(calls).toEqual([["data", "stdout", 5, [1, 2]]]);
  });

  it("repeats the last credit after the guest has reconnected", async () => {
    const { relay, host, streams, toGuest, keeper } = bench();
    await relay.open(host);
    keeper()?.acknowledged("stderr", 42, 100);
    toGuest.length = 0;
    streams.get(relay.streams.stderr)?.attached?.();
    expect(toGuest).toMatchObject([{ type: FrameType.Ack, stream: relay.streams.stderr, sequence: 42 }]);
  });

  it("passes input and its end to the guest, and the guest's credit to the keeper", async () => {
    const { relay, host, streams, calls, toGuest, keeper } = bench();
    await relay.open(host);
    streams.get(relay.streams.stdin)?.acknowledged?.(0, 64);
    keeper()?.input(0, Uint8Array.of(9));
    keeper()?.inputEnd(1);
    expect(calls).toEqual([["ack", 0, 64]]);
    expect(toGuest.map(({ type, sequence }) => [type, sequence])).toEqual([
      [FrameType.Data, 0],
      [FrameType.Eof, 1],
    ]);
  });

  it("is drained when the FIFOs have taken everything, the ends included", async () => {
    const { relay, host, streams, keeper } = bench();
    await relay.open(host);
    let drained = false;
    void relay.drained.then(() => {
      drained = true;
    });
    streams.get(relay.streams.stdout)?.data?.(0, Uint8Array.of(1, 2));
    streams.get(relay.streams.stdout)?.end?.(2);
    streams.get(relay.streams.stderr)?.end?.(0);
    keeper()?.acknowledged("stdout", 2, 100);
    keeper()?.acknowledged("stderr", 1, 100);
    await Promise.resolve();
    expect(drained).toBe(false);
    keeper()?.acknowledged("stdout", 3, 100);
    await relay.drained;
  });

  it("is drained of an output that an earlier daemon has ended, and waits for the other one", async () => {
    const { relay, host, keeper, streams } = bench();
    let drained = false;
    void relay.drained.then(() => {
      drained = true;
    });
    // as a keeper's client does, which tells it before the caller has the binding
    await relay.open({
      openStdio: async (id, paths, handlers) => {
        handlers.ended?.("stdout");
        return host.openStdio(id, paths, handlers);
      },
    });
    await Promise.resolve();
    expect(drained).toBe(false);
    keeper()?.acknowledged("stderr", 0, 100);
    streams.get(relay.streams.stderr)?.end?.(0);
    keeper()?.acknowledged("stderr", 1, 100);
    await relay.drained;
  });

  it("without any FIFO is drained at once", async () => {
    const { relay, host } = bench({ stdout: "", stderr: "" });
    await relay.open(host);
    await relay.drained;
  });

  it("ends the FIFOs where the bytes stopped when the guest is lost", async () => {
    const { relay, host, streams, calls } = bench();
    await relay.open(host);
    streams.get(relay.streams.stdout)?.data?.(0, Uint8Array.of(1, 2, 3));
    relay.terminate();
    expect(calls.slice(1)).toEqual([
      ["end", "stdout", 3],
      ["end", "stderr", 0],
    ]);
  });

  it("waits for no output any more once the keeper of its FIFOs has died", async () => {
    const { relay, host, streams, keeper } = bench();
    await relay.open(host);
    let drained = false;
    void relay.drained.then(() => {
      drained = true;
    });
    streams.get(relay.streams.stdout)?.data?.(0, Uint8Array.of(1, 2, 3));
    await Promise.resolve();
    expect(drained).toBe(false);
    keeper()?.lost?.();
    await relay.drained;
    // the guest goes on until its container is deleted
    streams.get(relay.streams.stdout)?.data?.(3, Uint8Array.of(4));
  });

  it("has one output with a terminal", async () => {
    const { relay, host, opened } = bench({}, true);
    await relay.open(host);
    expect(relay.streams.stderr).toBe(0);
    expect(opened()?.stderr).toBe("");
  });

  it("swallows an output that nobody wants, so that the process never blocks", async () => {
    const { relay, host, streams, toGuest } = bench({ stdout: "" });
    await relay.open(host);
    const stream = streams.get(relay.streams.stdout);
    for (let offset = 0; offset < 1_000_000; offset += 32_768) stream?.data?.(offset, new Uint8Array(32_768));
    expect(toGuest.filter(({ type }) => type === FrameType.Ack).length).toBeGreaterThan(10);
  });

  it("closes once, and lets go of its streams", async () => {
    const { relay, host, streams, calls } = bench();
    await relay.open(host);
    await relay.close();
    await relay.close();
    expect(calls).toEqual([["close"]]);
    expect(streams.size).toBe(0);
  });
});
