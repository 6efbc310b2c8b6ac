import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { describe, expect, it } from "vitest";
import { GuestLog } from "../../../src/actors/guest/guest-log.ts";
import { silentLogger } from "../../../src/contracts/logger.ts";
import { cutText, ownText } from "../../../src/lib/cut-text.ts";
import { boundedText } from "../../../src/observe/history/bounded-text.ts";
import { errorFromRecord } from "../../../src/protocol/wire/error-record.ts";
import { readSteps } from "../../../src/protocol/wire/request-steps.ts";

const MEBIBYTE = 2 ** 20;
const COUNT = 64;

/** Bytes of the heap that are in use after a collection. */
function heapBytes(): number {
  setFlagsFromString("--expose-gc");
  (runInNewContext("gc") as () => void)();
  return process.memoryUsage().heapUsed;
}

/** By how much the heap has grown when `keep` was called with texts of a mebibyte, and all that it returned is kept. */
function kept(keep: (text: string) => unknown): number {
  const before = heapBytes();
  const all = Array.from({ length: COUNT }, (_, index) => keep(String(index) + "x".repeat(MEBIBYTE)));
  const grown = heapBytes() - before;
  expect(all).toHaveLength(COUNT);
  return grown;
}

describe("the beginning of a text", () => {
  it("is what it was, halves of pairs too", () => {
    expect(cutText("short", 5)).toBe("short");
    expect(cutText("longer", 4)).toBe("long");
    expect(cutText("a\u{1f600}b", 2)).toBe("a\ud83d");
    expect(ownText('"\\\u0000\u2028')).toBe('"\\\u0000\u2028');
  });

  it("keeps the whole if it is a slice: this test would notice", () => {
    expect(kept((text) => text.slice(0, 1024))).toBeGreaterThan((COUNT * MEBIBYTE) / 2);
  });

  it.each<[string, (text: string) => unknown]>([
    ["cut", (text) => cutText(text, 1024)],
    ["in a history", boundedText],
    ["in a history, after characters that are escaped", (text) => boundedText(`\u001b${text}`)],
    ["of an error", (reason) => errorFromRecord({ reason }, { code: "GuestFailed", operation: "x" })],
    ["of a step", (name) => readSteps([[name, 0, 1]])],
  ])("does not keep the whole: %s", (_, keep) => {
    expect(kept(keep)).toBeLessThan(4 * MEBIBYTE);
  });

  it("does not keep the whole: of a line of a guest's log", () => {
    const log = new GuestLog();
    expect(kept((message) => log.take({ level: "info", message }, silentLogger))).toBeLessThan(4 * MEBIBYTE);
    expect(log.end.written).toBeGreaterThan(COUNT * 1024);
  });
});
