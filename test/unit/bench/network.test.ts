/** What a run of `network` and of `serial --network cni` leaves: tables, and parts of the last line. */
import { expect, test } from "vitest";
import { suiteLine } from "../../../bench/output/last-line.ts";
import { networkPart, networkTables } from "../../../bench/output/network-output.ts";
import type { NetworkFigure, Results } from "../../../bench/output/results.ts";
import { asText, tablesOf } from "../../../bench/output/tables.ts";

const cpuMs = { sandboxes: 500, daemon: 0, interrupts: 100, machine: 1500, wall: 1000 };

function figure(name: string, count: number, p50us = 0): NetworkFigure {
  return { name, run: 1, count, ms: 1000, p50us, p99us: p50us * 2, cpuMs };
}

const SAMPLES = [
  { handler: "blazar", path: "host → pod", figures: [figure("send", 50e6), figure("round trip", 900, 1100)] },
  { handler: "runc", path: "host → pod", figures: [figure("send", 500e6), figure("round trip", 9000, 110)] },
];

test("rates are MB/s for bytes, and times a second with their percentiles for the rest", () => {
  const [rates, cpu] = networkTables(SAMPLES);
  expect(rates?.rows).toEqual([
    ["send, MB/s", "50.0", "500"],
    ["round trip, a second", "900", "9000"],
    ["… µs, p50 / p99", "1100 / 2200", "110 / 220"],
  ]);
  expect(cpu?.rows[0]).toEqual(["send", "0.50 / 0.10 / 1.50", "0.50 / 0.10 / 1.50"]);
  expect(networkPart(SAMPLES)).toMatchObject({
    blazar: { "host → pod": { send: { mbPerSecond: 50 }, "round trip": { perSecond: 900, p50us: 1100 } } },
  });
});

test("what a network adds is told for each handler, and what blazar's adds beyond runc's", () => {
  const one = (variant: string, totalMs: number) => ({ variant, round: 1, totalMs, calls: [], steps: [] });
  const serial = [one("blazar", 100), one("blazar+cni", 150), one("runc", 120), one("runc+cni", 165)];
  const results = { serial, absent: [], seed: 1 } as unknown as Results;
  expect(suiteLine(results)).toMatchObject({
    serial: { cni: { addedMs: { blazar: 50, runc: 45 }, beyondRuncMs: 5 } },
  });
  const text = tablesOf(results).map(asText).join("\n");
  expect(text).toMatch(/blazar +100\.0 +150\.0 +50\.0/);
  expect(text).toMatch(/runc +120\.0 +165\.0 +45\.0/);
});

test("a series without networks says nothing of them", () => {
  const serial = [{ variant: "runc", round: 1, totalMs: 1, calls: [], steps: [] }];
  expect(suiteLine({ serial, seed: 1 } as unknown as Results)["serial"]).not.toHaveProperty("cni");
});
