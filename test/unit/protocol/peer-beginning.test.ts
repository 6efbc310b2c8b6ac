/** Two lives of a host on one link: whatever the first one has left on it, the second begins anew. Also ends without that. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { nodeText } from "../../../src/lib/text.ts";
import { encodeFrame, FrameType, GUEST_MAX_FRAME_BYTES } from "../../../src/protocol/wire/frame.ts";
import { type Hello, PROTOCOL_VERSION } from "../../../src/protocol/wire/hello.ts";
import { Peer } from "../../../src/protocol/wire/peer.ts";
import type { PeerOptions } from "../../../src/protocol/wire/peer-options.ts";

const MARK = `000ffff0${"89abcdef".repeat(3)}`;

interface End {
  readonly peer: Peer;
  readonly hellos: Hello[];
  readonly asked: string[];
  readonly violations: string[];
}

function end(session: string, ownsStreams: boolean, more: Partial<PeerOptions> = {}): End {
  const [hellos, asked, violations]: [Hello[], string[], string[]] = [[], [], []];
  const peer = new Peer({
    session,
    text: nodeText,
    maxFrameBytes: GUEST_MAX_FRAME_BYTES,
    helloBody: () => ({}),
    onHello: (hello) => hellos.push(hello),
    onRequest: (op) => asked.push(op),
    onEvent: () => undefined,
    ownsStreams,
    onViolation: (error) => violations.push(error.code),
    ...more,
  });
  return { peer, hellos, asked, violations };
}

function host(session: string, marked: boolean, onUnanswered = () => undefined): End {
  let asked = 0;
  const nonce = (): string => `${session}-${asked++}`;
  return end(session, true, { minor: 1, beginning: { nonce, mark: MARK, marked, onUnanswered } });
}

const guest = (): End => end("guest", false, { minor: 1 });

/** What each end sends waits until it is carried over. */
class Wire {
  readonly toGuest: Uint8Array[] = [];
  readonly toHost: Uint8Array[] = [];

  constructor(
    readonly a: End,
    readonly b: End,
  ) {}

  attachGuest(): void {
    this.b.peer.attach((frame) => this.toHost.push(frame));
  }

  attachHost(): void {
    this.a.peer.attach((frame) => this.toGuest.push(frame));
  }

  carry(): void {
    for (let turn = 0; this.toGuest.length + this.toHost.length > 0 && turn < 1000; turn++) {
      const frame = this.toGuest.shift();
      if (frame !== undefined) this.b.peer.receive(frame);
      const back = this.toHost.shift();
      if (back !== undefined) this.a.peer.receive(back);
    }
  }
}

/** A guest whose first host has died, with the bytes that the host had not read. */
async function left(): Promise<{ agent: End; unread: Uint8Array[] }> {
  const agent = guest();
  const wire = new Wire(host("first", false), agent);
  wire.attachHost();
  wire.attachGuest();
  wire.carry();
  wire.a.peer.openStream(7, {});
  agent.peer.openStream(7, {});
  void wire.a.peer.request("one", {});
  wire.carry();
  agent.peer.emit("told", { of: "first" });
  for (let sent = 0; sent < 4; sent++)
    agent.peer.send(encodeFrame(FrameType.Data, 7, sent * 100, new Uint8Array(100).fill(sent)));
  await Promise.resolve();
  return { agent, unread: [...wire.toHost] };
}

const bytesOf = (frames: readonly Uint8Array[]): Uint8Array => new Uint8Array(Buffer.concat([...frames]));

describe("a host that takes a guest over", () => {
  it("begins anew wherever the link of the earlier one was cut, on both sides", async () => {
    await fc.assert(
      fc.asyncProperty(fc.nat(400), fc.nat(40), async (fromHost, toGuest) => {
        const { agent, unread } = await left();
        const wire = new Wire(host("second", true), agent);
        const stale = bytesOf(unread);
        // the guest has not noticed that the first host has gone, in the middle of a frame
        agent.peer.receive(encodeFrame(FrameType.Request, 0, 2, new Uint8Array(30)).subarray(0, toGuest));
        agent.peer.attach((frame) => wire.toHost.push(frame));
        wire.toHost.unshift(stale.subarray(Math.min(fromHost, stale.length)));
        wire.attachHost();
        wire.carry();
        void wire.a.peer.request("two", {});
        wire.carry();
        expect(wire.a.violations).toEqual([]);
        expect(agent.violations).toEqual([]);
        expect(wire.a.hellos).toHaveLength(1);
        expect(agent.asked).toEqual(["one", "two"]);
      }),
      { numRuns: 200 },
    );
  });

  it("begins anew in the middle of a frame to a guest that still takes the link for the old one", async () => {
    for (let cut = 1; cut < 40; cut++) {
      const { agent } = await left();
      agent.peer.receive(encodeFrame(FrameType.Request, 0, 2, new Uint8Array(64)).subarray(0, cut));
      const second = host("second", true);
      let hello = new Uint8Array();
      second.peer.attach((frame) => {
        hello = new Uint8Array(frame);
      });
      expect(agent.peer.beginsAnew(hello)).toBe(true);
      agent.peer.receive(hello);
      expect(agent.violations).toEqual([]);
      expect(agent.hellos.at(-1)?.session).toBe("second");
    }
  });

  it("begins anew as often as it greets, in whatever chunks that comes", async () => {
    const one = await left();
    const whole = new Wire(host("second", true), one.agent);
    whole.attachHost();
    whole.a.peer.greetAgain();
    const greetings = bytesOf(whole.toGuest);
    for (let cut = 0; cut <= greetings.length; cut++) {
      const { agent } = await left();
      const wire = new Wire(host("second", true), agent);
      wire.attachHost();
      wire.a.peer.greetAgain();
      const bytes = bytesOf(wire.toGuest.splice(0));
      agent.peer.attach((frame) => wire.toHost.push(frame));
      wire.toGuest.push(bytes.subarray(0, cut), bytes.subarray(cut));
      wire.carry();
      void wire.a.peer.request("two", {});
      wire.carry();
      expect(agent.violations, `cut at ${cut}`).toEqual([]);
      expect(agent.asked, `cut at ${cut}`).toEqual(["one", "two"]);
    }
  });

  it("allots no stream that an earlier host has used", async () => {
    const { agent, unread } = await left();
    const wire = new Wire(host("second", true), agent);
    wire.toHost.push(...unread);
    wire.attachHost();
    wire.attachGuest();
    wire.carry();
    expect(wire.a.peer.allotStream()).toBe(8);
  });

  it("keeps the ack of a stream until it has taken the stream up", async () => {
    const { agent } = await left();
    const wire = new Wire(host("second", true), agent);
    wire.attachHost();
    wire.attachGuest();
    wire.carry();
    agent.peer.send(encodeFrame(FrameType.Ack, 7, 5, new Uint8Array([0, 0, 0, 9])));
    wire.carry();
    const acks: [number, number][] = [];
    wire.a.peer.openStream(7, { acknowledged: (offset, window) => acks.push([offset, window]) });
    expect(acks).toEqual([[5, 9]]);
    expect(wire.a.violations).toEqual([]);
  });

  it("takes no hello for the guest's that answers somebody else, whoever has put it there", () => {
    let unanswered = 0;
    const taker = host("second", true, () => {
      unanswered++;
      return undefined;
    });
    taker.peer.attach(() => undefined);
    const forged = {
      version: PROTOCOL_VERSION,
      session: "evil",
      eventsHandled: 0,
      answers: "first-0",
      body: {},
    };
    taker.peer.receive(new Uint8Array(3));
    taker.peer.receive(encodeFrame(FrameType.Hello, 0, 0, nodeText.encode(JSON.stringify(forged))));
    expect(taker.hellos).toEqual([]);
    expect(unanswered).toBe(1);
  });
});

describe("ends of different releases", () => {
  const old = (session: string) => ({ version: PROTOCOL_VERSION, session, eventsHandled: 0, body: {} });
  const hello = (body: object) => encodeFrame(FrameType.Hello, 0, 0, nodeText.encode(JSON.stringify(body)));

  it("a host works with an agent whose hello has none of the newer parts", async () => {
    const taker = host("second", true);
    const sent: Uint8Array[] = [];
    taker.peer.attach((frame) => sent.push(frame));
    taker.peer.receive(hello(old("agent")));
    expect(taker.hellos).toHaveLength(1);
    expect(taker.hellos[0]?.minor).toBeUndefined();
    void taker.peer.request("one", {});
    expect(sent).toHaveLength(2);
    expect(taker.violations).toEqual([]);
  });

  it("an agent works with a host whose hello has none of the newer parts", () => {
    const agent = guest();
    agent.peer.attach(() => undefined);
    agent.peer.receive(hello(old("host")));
    expect(agent.hellos).toHaveLength(1);
    expect(agent.violations).toEqual([]);
  });

  it("another major version is refused on both ends, and nothing else of the hello is looked at", () => {
    const other = hello({ version: PROTOCOL_VERSION + 1, session: 7 });
    for (const one of [host("second", false), host("third", true), guest()]) {
      one.peer.attach(() => undefined);
      one.peer.receive(other);
      expect(one.violations).toEqual(["ProtocolVersion"]);
      expect(one.hellos).toEqual([]);
    }
  });
});
