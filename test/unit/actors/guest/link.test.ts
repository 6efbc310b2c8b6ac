/** A guest's link: its events reach whoever listens, whenever that is, and are kept for nobody else. */
import { expect, test } from "vitest";
import type { GuestEvent } from "../../../../src/actors/guest/guest-events.ts";
import { GuestLink, type GuestLinkOptions } from "../../../../src/actors/guest/link.ts";
import { NO_HISTORY } from "../../../../src/contracts/history.ts";
import type { ByteLink } from "../../../../src/contracts/vm.ts";
import { GUEST_MAX_FRAME_BYTES } from "../../../../src/protocol/wire/frame.ts";
import { Peer } from "../../../../src/protocol/wire/peer.ts";
import type { PeerOptions } from "../../../../src/protocol/wire/peer-options.ts";
import { CapturedLogger } from "../../../support/captured-logger.ts";

const text = {
  encode: (value: string) => new TextEncoder().encode(value),
  decode: (bytes: Uint8Array) => new TextDecoder().decode(bytes),
};

/** A link whose guest says what a test has it say; everything arrives at once. */
function linked(options: Partial<GuestLinkOptions> = {}, guestOptions: Partial<PeerOptions> = {}) {
  const guest = new Peer({
    session: "guest",
    text,
    maxFrameBytes: GUEST_MAX_FRAME_BYTES,
    ownsStreams: false,
    helloBody: () => ({ role: "guest", agent: "1", kernel: "6", timeline: {} }),
    onHello: () => undefined,
    onRequest: () => undefined,
    onEvent: () => undefined,
    onViolation: (error) => {
      throw error;
    },
    ...guestOptions,
  });
  let pauses = 0;
  let toHost: ((bytes: Uint8Array) => void) | undefined;
  const wire: ByteLink = {
    write: (bytes) => {
      guest.receive(bytes);
      return true;
    },
    open: ({ onData }) => {
      toHost = onData;
    },
    pause: () => void pauses++,
    resume: () => undefined,
    close: () => undefined,
  };
  const link = new GuestLink(wire, {
    sandboxId: "pod",
    session: "host",
    text,
    logger: new CapturedLogger(),
    ...options,
  });
  link.hello.catch(() => undefined);
  guest.attach((frame) => toHost?.(frame));
  const exits = (id: string) => guest.emit("process.exited", { id, execId: "", status: 0, returned: [] });
  return { link, guest, exits, pauses: () => pauses };
}

/** What a new listener is told: ids of containers, or "lost". */
function listener(link: GuestLink) {
  const heard: string[] = [];
  const subscription = link.events$.subscribe({
    next: (event) => heard.push(event.type === "processExited" ? event.exit.id : event.type),
    complete: () => heard.push("end"),
  });
  return { heard, leave: () => subscription.unsubscribe() };
}

test("what a guest tells before anybody listens is heard by the first who does, once", () => {
  const { link, exits } = linked();
  exits("early");
  const first = listener(link);
  exits("then");
  const second = listener(link);
  expect([first.heard, second.heard]).toEqual([["early", "then"], []]);
});

test("what is told between two listeners is heard by the second", () => {
  const { link, exits } = linked();
  const first = listener(link);
  exits("first's");
  first.leave();
  exits("between");
  expect(listener(link).heard).toEqual(["between"]);
});

test("who comes after the loss of a guest hears what is left, of the loss and no more", () => {
  const { link, exits } = linked();
  exits("unheard");
  link.close();
  expect(listener(link).heard).toEqual(["unheard", "lost", "end"]);
  expect(listener(link).heard).toEqual(["lost", "end"]);
});

test("events that nobody has heard are kept within a bound of bytes, the last of them", () => {
  const { link, guest } = linked();
  const content = "x".repeat(200_000);
  for (let number = 0; number < 50; number++)
    guest.emit("process.exited", {
      ...{ id: `c${number}`, execId: "", status: 0, more: content },
      returned: [{ name: "v1", content, more: content }],
    });
  const kept: GuestEvent[] = [];
  link.events$.subscribe((event) => kept.push(event));
  expect(JSON.stringify(kept).length).toBeLessThan(2 ** 20 + 4096);
  expect(kept.length).toBeGreaterThanOrEqual(3);
  expect(kept.at(-1)).toMatchObject({ type: "processExited", exit: { id: "c49" } });
});

test("an id that is longer than ids are costs a guest its link", () => {
  const { link, exits } = linked();
  exits("x".repeat(257));
  expect(listener(link).heard).toEqual(["lost", "end"]);
});

test("bytes are counted both ways, over all links of a daemon", async () => {
  const traffic = { received: 0, sent: 0, heldMs: new Map<string, number>() };
  const { link } = linked({ traffic });
  await link.hello;
  const { received, sent } = traffic;
  expect(Math.min(received, sent)).toBeGreaterThan(50);
  linked({ traffic });
  expect(traffic.received).toBeGreaterThan(received);
});

test("a guest that floods is read less often, and named in the log and the figures", async () => {
  const traffic = { received: 0, sent: 0, heldMs: new Map<string, number>() };
  const logger = new CapturedLogger();
  const { link, guest, pauses } = linked({ traffic, logger });
  await link.hello;
  const until = performance.now() + 5_000;
  while (pauses() === 0 && performance.now() < until)
    guest.emit("agent.log", { level: "info", message: "flood" });
  expect(pauses()).toBe(1);
  expect(traffic.heldMs.get("pod")).toBeGreaterThan(0);
  expect(logger.lines.filter(({ message }) => message.includes("keeps the daemon busy"))).toHaveLength(1);
  link.close();
});

test("the guest's own steps are parts of the request's, known ones alone and never longer than the request", async () => {
  const parts: [string, number, number][] = [];
  const span = {
    id: 1,
    part: (...part: [string, number, number]) => void parts.push(part),
    end: () => undefined,
  };
  const history = { ...NO_HISTORY, step: () => span };
  let now = 0;
  const onRequest: PeerOptions["onRequest"] = (_, __, mark) => {
    mark("identity");
    mark("<script>");
    now += 3_000_000;
    mark("network");
    return { now: 0 };
  };
  const { link } = linked({ history }, { onRequest, stepClock: () => now });
  await link.hello;
  await link.request("sandbox.setup", {} as never, { deadlineMs: 1_000 });
  expect(parts.map(([name]) => name)).toEqual(["guest identity", "guest network"]);
  for (const [, from, ms] of parts) expect(from + ms).toBeLessThan(1_000);
});
