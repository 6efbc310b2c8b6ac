/** Steps of an answer: told only to who asks, timed by the answering end, bounded by the asking one. */
import { expect, it, test } from "vitest";
import { nodeText } from "../../../src/lib/text.ts";
import { Peer } from "../../../src/protocol/wire/peer.ts";
import type { PeerOptions } from "../../../src/protocol/wire/peer-options.ts";
import { type RequestStep, readSteps, StepMarks } from "../../../src/protocol/wire/request-steps.ts";

function peer(session: string, ownsStreams: boolean, options: Partial<PeerOptions> = {}): Peer {
  return new Peer({
    session,
    text: nodeText,
    maxFrameBytes: 65_536,
    helloBody: () => ({}),
    onHello: () => undefined,
    onRequest: () => ({}),
    onEvent: () => undefined,
    ownsStreams,
    onViolation: (error) => {
      throw error;
    },
    ...options,
  });
}

/** Asks once, and tells the request's and the answer's text beside the steps. */
async function ask(answering: Partial<PeerOptions>, wantSteps: boolean) {
  const [asks, answers] = [peer("host", true), peer("guest", false, answering)];
  const frames: string[] = [];
  asks.attach((frame) => queueMicrotask(() => answers.receive(frame)));
  answers.attach((frame) => {
    frames.push(Buffer.from(frame).toString("latin1"));
    queueMicrotask(() => asks.receive(frame));
  });
  await new Promise(setImmediate);
  let steps: readonly RequestStep[] | undefined;
  const { result } = asks.request("make", {}, wantSteps ? (told) => (steps = told) : undefined);
  await result;
  return { steps, answer: frames.at(-1) ?? "" };
}

test("whoever asks is told each step: its name, when it began and how long it took", async () => {
  let now = 100;
  const { steps } = await ask(
    {
      stepClock: () => now,
      onRequest: (_, __, mark) => {
        now += 5.5;
        mark("root");
        now += 2;
        mark("process");
        return {};
      },
    },
    true,
  );
  expect(steps).toEqual([
    { name: "root", fromMs: 0, ms: 5.5 },
    { name: "process", fromMs: 5.5, ms: 2 },
  ]);
});

test("a failed request tells its steps, too", async () => {
  const onRequest: PeerOptions["onRequest"] = (_, __, mark) => {
    mark("root");
    throw new Error("no disk");
  };
  const [asks, answers] = [peer("host", true), peer("guest", false, { stepClock: () => 0, onRequest })];
  asks.attach((frame) => queueMicrotask(() => answers.receive(frame)));
  answers.attach((frame) => queueMicrotask(() => asks.receive(frame)));
  await new Promise(setImmediate);
  let names: string[] = [];
  const { result } = asks.request("make", {}, (told) => (names = told.map(({ name }) => name)));
  await expect(result).rejects.toMatchObject({ code: "Internal" });
  expect(names).toEqual(["root"]);
});

test("nobody else is", async () => {
  const stepClock = (): number => {
    throw new Error("read without need");
  };
  const { steps, answer } = await ask({ stepClock }, false);
  expect(steps).toBeUndefined();
  expect(answer).not.toContain("steps");
});

test("an end without a clock tells none", async () => {
  expect((await ask({}, true)).steps).toEqual([]);
});

test("a request with many steps tells the first of them", () => {
  const marks = new StepMarks(() => 0);
  for (let index = 0; index < 1_000; index++) marks.mark(`step ${index}`);
  expect(marks.steps).toHaveLength(16);
});

it.each([
  [undefined, []],
  ["steps", []],
  [{ length: 3 }, []],
  [[["a", -1, 0]], []],
  [[["a", 0, Number.NaN]], []],
  [[["a", 0, 1e300]], []],
  [[[1, 0, 0], null, "x", []], []],
  [[["x".repeat(1_000), 0, 1]], [{ name: "x".repeat(64), fromMs: 0, ms: 1 }]],
])("reads what a hostile guest tells: %j", (told, steps) => {
  expect(readSteps(told)).toEqual(steps);
});
