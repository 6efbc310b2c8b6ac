/**
 * The figures of `network`: as tables, and as a part of the last line.
 */
import { CNI_SUFFIX } from "../node/variants.ts";
import { median } from "../stats/summary.ts";
import type { NetworkFigure, NetworkSample, SeriesSample } from "./results.ts";
import type { Table } from "./table.ts";

const BYTES = /^(send|receive)/;

/** What a figure of one name says: MB/s, or times a second and µs. */
interface Said {
  readonly rate: number;
  readonly p50us: number;
  readonly p99us: number;
  /** CPU seconds for each second, of all processors together. */
  readonly cpu: { readonly machine: number; readonly sandboxes: number; readonly interrupts: number };
}

function said(figures: readonly NetworkFigure[], name: string): Said | undefined {
  const of = figures.filter((each) => each.name === name);
  if (of.length === 0) return undefined;
  const middle = (value: (each: NetworkFigure) => number) => median(of.map(value));
  const scale = BYTES.test(name) ? 1e6 : 1;
  return {
    rate: middle(({ count, ms }) => (count / ms) * 1000) / scale,
    p50us: middle(({ p50us }) => p50us),
    p99us: middle(({ p99us }) => p99us),
    cpu: {
      machine: middle(({ cpuMs }) => cpuMs.machine / cpuMs.wall),
      sandboxes: middle(({ cpuMs }) => cpuMs.sandboxes / cpuMs.wall),
      interrupts: middle(({ cpuMs }) => cpuMs.interrupts / cpuMs.wall),
    },
  };
}

/** What a network of CNI's adds to a start, for series that have both; nothing for others. */
export function networkCostTables(samples: readonly SeriesSample[]): Table[] {
  const costs = networkCosts(samples);
  if (costs.length === 0) return [];
  return [
    {
      title: "In series: what a network of CNI's adds, ms (medians)",
      head: ["", "without", "with", "added"],
      rows: costs.map(({ handler, without, with: by, added }) => [
        handler,
        ...[without, by, added].map((value) => value.toFixed(1)),
      ]),
      notes: [
        "runc's addition is what CNI's plugins and the making of the namespace take. blazar's is that and its own part.",
      ],
    },
  ];
}

interface NetworkCost {
  readonly handler: string;
  readonly without: number;
  readonly with: number;
  readonly added: number;
}

/** Medians by handler, of those that were measured with and without. */
export function networkCosts(samples: readonly SeriesSample[]): NetworkCost[] {
  const times = (variant: string) =>
    samples.filter((each) => each.variant === variant).map(({ totalMs }) => totalMs);
  const handlers = [...new Set(samples.map(({ variant }) => variant.replace(CNI_SUFFIX, "")))];
  return handlers.flatMap((handler) => {
    const [without, by] = [times(handler), times(`${handler}${CNI_SUFFIX}`)];
    if (without.length === 0 || by.length === 0) return [];
    const [low, high] = [median(without), median(by)];
    return [{ handler, without: low, with: high, added: high - low }];
  });
}

function names(samples: readonly NetworkSample[]): string[] {
  return [...new Set(samples.flatMap(({ figures }) => figures.map(({ name }) => name)))];
}

export function networkTables(samples: readonly NetworkSample[]): Table[] {
  return [ratesTable(samples), cpuTable(samples)];
}

function ratesTable(samples: readonly NetworkSample[]): Table {
  const rows = names(samples).flatMap((name) => {
    const each = samples.map(({ figures }) => said(figures, name));
    const cells = each.map((of) => (of === undefined ? "" : figure(of.rate)));
    if (BYTES.test(name)) return [[`${name}, MB/s`, ...cells]];
    const times = each.map((of) =>
      of === undefined ? "" : `${of.p50us.toFixed(0)} / ${of.p99us.toFixed(0)}`,
    );
    return [
      [`${name}, a second`, ...cells],
      ["… µs, p50 / p99", ...times],
    ];
  });
  return {
    title: "Networks of pods",
    head: ["", ...samples.map(({ handler, path }) => `${handler}, ${path}`)],
    rows,
    notes: [
      "send: from what the path names first to the pod that serves; receive: the other way. TCP, on one bridge.",
      "A connection is opened, asks for one byte, gets it and is closed.",
    ],
  };
}

/** Where the time goes, as far as CPU time tells. */
function cpuTable(samples: readonly NetworkSample[]): Table {
  return {
    title: "Networks of pods: processors busy meanwhile (VMMs / interrupts / all)",
    head: ["", ...samples.map(({ handler, path }) => `${handler}, ${path}`)],
    rows: names(samples).map((name) => [
      name,
      ...samples.map(({ figures }) => {
        const of = said(figures, name);
        if (of === undefined) return "";
        const { sandboxes, interrupts, machine } = of.cpu;
        return [sandboxes, interrupts, machine].map((value) => value.toFixed(2)).join(" / ");
      }),
    ]),
    notes: ["1.00 is one processor. The kernel's work for a packet counts for whoever it interrupts."],
  };
}

/** `{"blazar":{"host → pod":{"send":{"rate":…,"p50us":…},…},…},…}`. */
export function networkPart(samples: readonly NetworkSample[]): Record<string, unknown> {
  const part: Record<string, Record<string, unknown>> = {};
  for (const { handler, path, figures } of samples) {
    const of = names(samples).map((name) => {
      const { rate = 0, p50us = 0 } = said(figures, name) ?? {};
      return [
        name,
        p50us === 0 ? { mbPerSecond: round(rate) } : { perSecond: round(rate), p50us: round(p50us) },
      ];
    });
    part[handler] = { ...part[handler], [path]: Object.fromEntries(of) };
  }
  return part;
}

function figure(value: number): string {
  return value.toFixed(value < 100 ? 1 : 0);
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}
