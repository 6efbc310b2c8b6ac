import { describe, expect, it } from "vitest";
import { type BlazarError, blazarError } from "../../../src/contracts/errors.ts";
import { nodeText } from "../../../src/lib/text.ts";
import { encodeFrame, FrameType } from "../../../src/protocol/wire/frame.ts";
import { Peer } from "../../../src/protocol/wire/peer.ts";
import type { PeerOptions } from "../../../src/protocol/wire/peer-options.ts";

interface Side {
  peer: Peer;
  events: string[];
  requests: string[];
  violations: BlazarError[];
}

function side(session: string, ownsStreams: boolean, options: Partial<PeerOptions> = {}): Side {
  const events: string[] = [];
  const requests: string[] = [];
  const violations: BlazarError[] = [];
  const peer = new Peer({
    session,
    text: nodeText,
    maxFrameBytes: 4096,
    helloBody: () => ({ role: session }),
    onHello: () => undefined,
    onRequest: (op, params) => {
      requests.push(op);
      if (op === "fail") throw blazarError("ContainerNotFound", "find it", "gone", { subject: "c1" });
      return params;
    },
    onEvent: (event) => events.push(event),
    ownsStreams,
    onViolation: (error) => violations.push(error),
    ...options,
  });
  return { peer, events, requests, violations };
}

/** Joins two peers by queues that deliver when asked, and can lose what is in flight. */
class Cable {
  private queue: (() => void)[] = [];

  constructor(
    readonly a: Peer,
    readonly b: Peer,
  ) {}

  attach(): void {
    this.queue = [];
    const { a, b } = this;
    a.attach((frame) => this.queue.push(() => b.receive(frame)));
    b.attach((frame) => this.queue.push(() => a.receive(frame)));
  }

  cut(): void {
    this.queue = [];
    this.a.detach();
    this.b.detach();
  }

  async run(): Promise<void> {
    for (let idle = 0; idle < 3; idle++) {
      for (let next = this.queue.shift(); next !== undefined; next = this.queue.shift()) {
        next();
        idle = 0;
      }
      await Promise.resolve().then(() => undefined);
      await new Promise((resolve) => setImmediate(resolve));
    }
  }
}

async function connected() {
  const host = side("host", true);
  const guest = side("guest", false);
  const cable = new Cable(host.peer, guest.peer);
  cable.attach();
  await cable.run();
  return { host, guest, cable };
}

describe("two peers", () => {
  it("answer requests with results and with errors that keep their code and words", async () => {
    const { host, cable } = await connected();
    const echo = host.peer.request("echo", { n: 1 });
    const failure = host.peer.request("fail", {});
    failure.result.catch(() => undefined);
    await cable.run();
    expect(await echo.result).toEqual({ n: 1 });
    await expect(failure.result).rejects.toMatchObject({
      code: "ContainerNotFound",
      details: { subject: "c1", reason: "gone" },
    });
  });

  it("carry out a request once, even if the link broke before its answer", async () => {
    const { host, guest, cable } = await connected();
    const { result } = host.peer.request("echo", "x");
    cable.cut();
    cable.attach();
    await cable.run();
    expect(await result).toBe("x");
    const again = host.peer.request("echo", "y");
    await new Promise((resolve) => setImmediate(resolve));
    cable.attach();
    await cable.run();
    expect(await again.result).toBe("y");
    expect(guest.requests).toEqual(["echo", "echo"]);
  });

  it("deliver each event once and in order across a broken link", async () => {
    const { host, guest, cable } = await connected();
    guest.peer.emit("one", {});
    await cable.run();
    guest.peer.emit("two", {});
    cable.cut();
    guest.peer.emit("three", {});
    cable.attach();
    await cable.run();
    expect(host.events).toEqual(["one", "two", "three"]);
  });

  it("fail open requests when the link is given up", async () => {
    const { host } = await connected();
    const { result } = host.peer.request("echo", 1);
    host.peer.close(blazarError("GuestLost", "talk", "dead"));
    await expect(result).rejects.toMatchObject({ code: "GuestLost" });
  });
});

describe("a host's peer", () => {
  const cases: [string, Uint8Array][] = [
    ["a stream that it never opened", encodeFrame(FrameType.Data, 9, 0, Uint8Array.of(1))],
    ["a frame of the keeper's", encodeFrame(FrameType.TaskRequest, 1, 1)],
    ["a message that is no JSON", encodeFrame(FrameType.Event, 0, 1, Uint8Array.of(0x7b))],
    ["a message that is no object", encodeFrame(FrameType.Request, 0, 1, nodeText.encode("[]"))],
    [
      "an answer to a request that was never sent",
      encodeFrame(FrameType.Response, 0, 99, nodeText.encode("{}")),
    ],
    ["an event out of order", encodeFrame(FrameType.Event, 0, 5, nodeText.encode('{"event":"x"}'))],
    ["an ack without its credit", encodeFrame(FrameType.Ack, 1, 0)],
    [
      "a second hello",
      encodeFrame(FrameType.Hello, 0, 0, nodeText.encode('{"version":1,"session":"z","eventsHandled":0}')),
    ],
    [
      "a second hello of a life that has reset the link",
      encodeFrame(
        FrameType.Hello,
        0,
        0,
        nodeText.encode('{"version":1,"session":"guest","eventsHandled":0,"answers":""}'),
      ),
    ],
    ["a frame that is too long", encodeFrame(FrameType.Data, 1, 0, new Uint8Array(5000))],
  ];
  it.each(cases)("reports %s as a violation", async (_, bytes) => {
    const { host } = await connected();
    host.peer.openStream(1, {});
    host.peer.receive(bytes);
    expect(host.violations.map((error) => error.kind)).toEqual(["dataLoss"]);
  });

  it("refuses another version of the protocol, and says what to do", () => {
    const host = side("host", true);
    host.peer.attach(() => undefined);
    host.peer.receive(
      encodeFrame(FrameType.Hello, 0, 0, nodeText.encode('{"version":2,"session":"z","eventsHandled":0}')),
    );
    expect(host.violations[0]).toMatchObject({
      code: "ProtocolVersion",
      details: { remedy: expect.stringContaining("same release") },
    });
  });

  it("ignores frames of a stream that it has closed", async () => {
    const { host } = await connected();
    host.peer.openStream(3, {});
    host.peer.closeStream(3);
    host.peer.receive(encodeFrame(FrameType.Data, 3, 0, Uint8Array.of(1)));
    expect(host.violations).toEqual([]);
  });
});

describe("a request that is longer than a frame", () => {
  const text = (length: number) => ({ text: "x".repeat(length) });
  const joined = async (maxRequestBytes: number) => {
    const frames = { maxFrameBytes: 512 * 1024 };
    const host = side("host", true, frames);
    const guest = side("guest", false, { ...frames, maxRequestBytes });
    const cable = new Cable(host.peer, guest.peer);
    cable.attach();
    await cable.run();
    return { host, guest, cable };
  };

  it("goes in pieces, each within the bound of a frame, and arrives whole", async () => {
    const { host, guest, cable } = await joined(4 * 1024 * 1024);
    const { result } = host.peer.request("long", text(300_000));
    const next = host.peer.request("next", text(1));
    await cable.run();
    expect(guest.requests).toEqual(["long", "next"]);
    // an answer is one frame
    await expect(result).resolves.toEqual(text(300_000));
    await expect(next.result).resolves.toEqual(text(1));
    expect([...host.violations, ...guest.violations]).toEqual([]);
  });

  it("is sent again as a whole if the link breaks in its midst", async () => {
    const { host, guest, cable } = await joined(4 * 1024 * 1024);
    const received: number[] = [];
    const { result } = host.peer.request("long", text(300_000));
    result.then(() => received.push(1)).catch(() => undefined);
    cable.cut();
    cable.attach();
    await cable.run();
    expect(guest.requests).toEqual(["long"]);
    expect(received).toEqual([1]);
    expect(guest.violations).toEqual([]);
  });

  it("is a violation above the bound for requests, before it is whole", async () => {
    const { host, guest, cable } = await joined(1024 * 1024);
    host.peer.request("long", text(1_500_000)).result.catch(() => undefined);
    await cable.run();
    expect(guest.requests).toEqual([]);
    expect(guest.violations[0]?.code).toBe("FrameTooLong");
  });

  it("is a violation above a frame's bound where no other is given", async () => {
    const { host, guest, cable } = await connected();
    const part = encodeFrame(FrameType.RequestPart, 0, 1, new Uint8Array(4000));
    const frames: Uint8Array[] = [part, part];
    for (const frame of frames) guest.peer.receive(frame);
    await cable.run();
    expect(guest.violations[0]?.code).toBe("FrameTooLong");
    expect(host.violations).toEqual([]);
  });

  it("is a violation with another request between its pieces", async () => {
    const { guest } = await joined(1024 * 1024);
    guest.peer.receive(encodeFrame(FrameType.RequestPart, 0, 7, new Uint8Array(10)));
    guest.peer.receive(encodeFrame(FrameType.Request, 0, 8, nodeText.encode('{"op":"x","params":{}}')));
    expect(guest.violations[0]?.code).toBe("FrameUnexpected");
    expect(guest.requests).toEqual([]);
  });
});
