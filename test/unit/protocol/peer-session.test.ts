/** What a peer does when the other end comes back as a new process, which has forgotten everything. */
import { describe, expect, it } from "vitest";
import { nodeText } from "../../../src/lib/text.ts";
import { GUEST_MAX_FRAME_BYTES } from "../../../src/protocol/wire/frame.ts";
import { Peer } from "../../../src/protocol/wire/peer.ts";

function peer(session: string, seen: string[] = [], violations: string[] = []): Peer {
  return new Peer({
    session,
    text: nodeText,
    maxFrameBytes: GUEST_MAX_FRAME_BYTES,
    helloBody: () => ({}),
    onHello: () => undefined,
    onRequest: () => ({}),
    onEvent: (event) => seen.push(event),
    ownsStreams: false,
    onViolation: (error) => violations.push(error.message),
  });
}

/** Joins two peers by a synchronous wire. */
function join(a: Peer, b: Peer): void {
  const early: Uint8Array[] = [];
  let ready = false;
  a.attach((frame) => (ready ? b.receive(frame) : early.push(frame)));
  b.attach((frame) => a.receive(frame));
  ready = true;
  for (const frame of early) b.receive(frame);
}

describe("a peer whose other end is a new process", () => {
  it("sends the events that nobody has handled, counted from 1 again", () => {
    const keeper = peer("keeper");
    const first: string[] = [];
    join(keeper, peer("daemon-1", first));
    keeper.emit("one", {});
    keeper.emit("two", {});
    keeper.detach();
    keeper.emit("three", {});

    const second: string[] = [];
    const violations: string[] = [];
    join(keeper, peer("daemon-2", second, violations));
    keeper.emit("four", {});

    expect(first).toEqual(["one", "two"]);
    expect(second).toEqual(["three", "four"]);
    expect(violations).toEqual([]);
  });

  it("goes on counting for the same process", () => {
    const keeper = peer("keeper");
    const seen: string[] = [];
    const violations: string[] = [];
    const daemon = peer("daemon", seen, violations);
    join(keeper, daemon);
    keeper.emit("one", {});
    keeper.detach();
    keeper.emit("two", {});
    join(keeper, daemon);

    expect(seen).toEqual(["one", "two"]);
    expect(violations).toEqual([]);
  });
});
