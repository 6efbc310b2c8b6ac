/**
 * The figures of `stdio`: as a table, and as a part of the last line.
 */
import { summarize } from "../stats/summary.ts";
import type { StdioSample } from "./results.ts";
import type { Table } from "./table.ts";

const MIB = 2 ** 20;

/** MB/s. */
function rate(bytes: number, milliseconds: number): number {
  return bytes / 1000 / milliseconds;
}

function cpuRate({ rateBytes }: StdioSample, milliseconds: number): string {
  return milliseconds === 0 ? "" : rate(rateBytes, milliseconds).toFixed(1);
}

function middle(times: readonly number[]): string {
  const summary = summarize(times);
  return summary === null ? "" : `${summary.p50.toFixed(0)} / ${summary.p99.toFixed(0)}`;
}

export function stdioTable(samples: readonly StdioSample[]): Table {
  return {
    title: "Standard streams",
    head: ["", ...samples.map(({ handler }) => handler)],
    rows: [
      [
        "stdout of a container, dropped, MB/s",
        ...samples.map((each) => rate(each.rateBytes, each.droppedMs).toFixed(1)),
      ],
      [
        "… for each second of CPU of those that manage",
        ...samples.map((each) => cpuRate(each, each.cpuMs.managers)),
      ],
      ["… and of VMMs", ...samples.map((each) => cpuRate(each, each.cpuMs.sandboxes))],
      [
        "stdout of an exec, received, MB/s",
        ...samples.map((each) => rate(each.rateBytes, each.execMs).toFixed(1)),
      ],
      [
        "stdin of an exec, sent, MB/s",
        ...samples.map(({ input }) => (input === undefined ? "" : rate(input.bytes, input.ms).toFixed(1))),
      ],
      ["every byte, in order", ...samples.map(({ order }) => (order.whole ? "yes" : "NO"))],
      ["beside a stopped reader, MB/s", ...samples.map((each) => rate(each.bytes, each.writerMs).toFixed(1))],
      [
        "exec in a third container before, ms p50 / p99",
        ...samples.map(({ before }) => middle(before.samePod)),
      ],
      ["… during", ...samples.map(({ during }) => middle(during.samePod))],
      ["exec in another pod before, ms p50 / p99", ...samples.map(({ before }) => middle(before.otherPod))],
      ["… during", ...samples.map(({ during }) => middle(during.otherPod))],
      [
        "memory of what manages the pods before, MiB",
        ...samples.map((each) => (each.memoryBefore / MIB).toFixed(1)),
      ],
      ["… at most during", ...samples.map((each) => (each.memoryPeak / MIB).toFixed(1))],
    ],
    notes: samples.map(({ handler, bytes }) => `${handler}: ${bytes / 1_000_000} MB beside a stopped reader`),
  };
}

export function stdioPart(samples: readonly StdioSample[]): Record<string, unknown> {
  const round = (value: number): number => Math.round(value * 10) / 10;
  return Object.fromEntries(
    samples.map((each) => [
      each.handler,
      {
        mbPerSecond: round(rate(each.rateBytes, each.droppedMs)),
        execMbPerSecond: round(rate(each.rateBytes, each.execMs)),
        ...(each.input === undefined
          ? {}
          : { inputMbPerSecond: round(rate(each.input.bytes, each.input.ms)) }),
        whole: each.order.whole,
        besideStalled: round(rate(each.bytes, each.writerMs)),
        memoryGrowthMib: round((each.memoryPeak - each.memoryBefore) / MIB),
        latencyMs: {
          before: round(summarize(each.before.otherPod)?.p50 ?? 0),
          during: round(summarize(each.during.otherPod)?.p50 ?? 0),
        },
      },
    ]),
  );
}
