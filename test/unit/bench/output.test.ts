/** What a run leaves: the last line in the agreed shape, tables, figures, the page, a file that can be read again. */
import { readFile } from "node:fs/promises";
import path from "node:path";
import { expect, test } from "vitest";
import { svgOf } from "../../../bench/output/drawing.ts";
import { drawFigures, figuresOf } from "../../../bench/output/figures.ts";
import { startLine, suiteLine } from "../../../bench/output/last-line.ts";
import { measuredPart, withMeasuredPart } from "../../../bench/output/performance-page.ts";
import { type Results, readResults, writeResults } from "../../../bench/output/results.ts";
import { partsOf, withoutSmallParts } from "../../../bench/output/steps.ts";
import { asMarkdown, asText, tablesOf } from "../../../bench/output/tables.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";

const MIB = 2 ** 20;

function series(variant: string, times: readonly number[]) {
  return times.map((totalMs, index) => ({
    variant,
    round: index + 1,
    totalMs,
    calls: [
      { step: "RunPodSandbox", ms: totalMs * 0.6 },
      { step: "StartContainer", ms: totalMs * 0.4 },
    ],
    steps:
      variant === "runc"
        ? []
        : [
            { step: "booting.launching", ms: totalMs * 0.5 },
            { step: "vmm: spawned", ms: totalMs * 0.1 },
            { step: "create: guest", ms: totalMs * 0.3 },
          ],
  }));
}

function memory(handler: string, pods: number, mib: number) {
  const of = (value: number) => ({ pss: value * MIB, anonymous: value * 0.3 * MIB });
  const blazar = handler === "blazar";
  return {
    handler,
    pods,
    phase: "idle" as const,
    daemon: blazar ? of(mib) : null,
    keeper: blazar ? of(3) : null,
    shims: blazar ? null : of(mib),
    sandboxes: { count: pods, memory: of(50 * pods) },
  };
}

const RESULTS: Results = {
  format: 1,
  command: "all",
  startedAt: "2026-01-02T03:04:05.678Z",
  seconds: 61,
  seed: 7,
  quick: false,
  machine: { cpu: "Model <X>", cores: 2, memoryMb: 8192, kernel: "6.1.0", acceleration: "tcg" },
  versions: { node: "v20.0.0", containerd: "2.1.9", qemu: "7.2.1" },
  absent: [{ what: "parallel: pool", why: "this daemon has no pool" }],
  start: [...series("cold", [2400, 2500, 2450, 2600, 2410]), ...series("runc", [140, 150, 145, 160, 139])],
  serial: [...series("blazar", [70, 72, 71, 75, 69]), ...series("runc", [140, 142, 144, 146, 138])],
  parallel: [
    {
      variant: "noPool",
      round: 1,
      pods: 2,
      wallMs: 900,
      podMs: [800, 890],
      loopDelay: { samples: 9, p50: 1, p99: 4, max: 5 },
    },
    { variant: "runc", round: 1, pods: 2, wallMs: 450, podMs: [400, 440], loopDelay: null },
  ],
  memory: [
    memory("blazar", 1, 47),
    memory("blazar", 11, 48),
    memory("runc", 1, 4.8),
    memory("runc", 11, 52.8),
  ],
  density: {
    points: [
      {
        sandboxes: 200,
        daemon: { pss: 60 * MIB, anonymous: 20 * MIB },
        keeper: { pss: 3 * MIB, anonymous: MIB },
      },
    ],
    startMs: Array.from({ length: 200 }, (_, index) => (index < 100 ? 4 : 5)),
  },
};

test("start's last line has its four paths and three ratios; what was not measured is null", () => {
  const line = startLine(RESULTS);
  expect(Object.keys(line)).toEqual(["pool", "clone", "cold", "runc", "ratios"]);
  expect(line["runc"]).toEqual({ p50: 145, p90: 156, p99: 159.6 });
  expect(line["pool"]).toBeNull();
  expect(line["ratios"]).toEqual({ "pool/runc": null, "clone/runc": null, "cold/pool": null });
});

test("the last line of all has the shape that was agreed", () => {
  expect(suiteLine(RESULTS)).toEqual({
    serial: {
      blazar: { p50: 71, p90: 73.8, p99: 74.9 },
      runc: { p50: 142, p90: 145.2, p99: 145.9 },
      ratio: 0.5,
    },
    parallel: { pool: null, noPool: { wall: 900, ratio: 2 }, runc: { wall: 450 }, loopDelayP99: 4 },
    memory: {
      pods: [1, 11],
      daemonPssMb: [47, 48],
      keeperPssMb: [3, 3],
      runcShimsPssMb: [4.8, 52.8],
      slopeKbPerPod: 102.4,
    },
    density: { sandboxes: 200, daemonPssMb: 60, startMsFirst100: 4, startMsLast100: 5 },
  });
});

test("the parts of a start add up to it", () => {
  const parts = partsOf(series("cold", [1000]));
  expect(parts.map(({ part }) => part)).toEqual([
    "sandbox: launching",
    "RunPodSandbox, all else",
    "container: guest",
    "StartContainer, all else",
  ]);
  expect(parts.reduce((sum, { ms }) => sum + ms, 0)).toBeCloseTo(1000);
});

test("the states of the chart are steps in their order, by their names of now and of older results", () => {
  const steps = [
    ...["creating", "created", "booting.queued", "booting.forking", "booting.cloning", "booting.booting"],
    ...[
      "booting.coldBooting",
      "booting.awaitingAgent",
      "booting.settingUp",
      "booting.ready",
      "ready.running",
    ],
  ].map((step) => ({ step, ms: 10 }));
  const calls = [{ step: "RunPodSandbox", ms: 100 }];
  const parts = partsOf([{ variant: "clone", round: 1, totalMs: 100, calls, steps }]);
  expect(parts.map(({ part }) => part)).toEqual([
    "sandbox: provisioning",
    "containerd, between Create and Start",
    "sandbox: queued",
    "sandbox: forking",
    "sandbox: cloning",
    "sandbox: booting",
    "sandbox: coldBooting",
    "sandbox: awaitingAgent",
    "sandbox: settingUp",
    "RunPodSandbox, all else",
  ]);
  expect(parts.at(-1)?.ms).toBe(10);
});

test("parts that are small in every start become one; a part that is large somewhere stays", () => {
  const parts = [
    { variant: "a", part: "x", ms: 98 },
    { variant: "a", part: "y", ms: 1 },
    { variant: "a", part: "z", ms: 1 },
    { variant: "b", part: "x", ms: 50 },
    { variant: "b", part: "y", ms: 50 },
  ];
  expect(withoutSmallParts(parts)).toEqual([
    { variant: "a", part: "x", ms: 98 },
    { variant: "a", part: "y", ms: 1 },
    { variant: "a", part: "small steps", ms: 1 },
    { variant: "b", part: "x", ms: 50 },
    { variant: "b", part: "y", ms: 50 },
  ]);
});

test("tables name what is missing, and say when a difference is not significant", () => {
  const text = tablesOf(RESULTS).map(asText).join("\n");
  expect(text).toContain("this daemon has no pool");
  expect(text).toContain("blazar ÷ runc, medians: 0.50×");
  expect(text).toContain("too few samples");
  expect(tablesOf(RESULTS).map(asMarkdown).join("\n")).toMatch(/\| runc \| 5 \| 142 \|/);
});

test("every figure is drawn, in both colour schemes, with others' figures labelled as such", () => {
  const figures = figuresOf(RESULTS);
  const names = figures.map(({ name }) => name);
  expect(names).toEqual([
    "start-cdf",
    "serial-cdf",
    "parallel-cdf",
    "memory",
    "start-steps",
    "start-steps-cold",
    "serial-steps",
    "density",
  ]);
  for (const figure of figures) {
    const svg = svgOf(figure);
    expect(svg).toContain("prefers-color-scheme:dark");
    expect(svg).not.toMatch(/NaN|undefined|currentColor/);
  }
  const serial = figures.find(({ name }) => name === "serial-cdf");
  expect(serial === undefined ? "" : svgOf(serial)).toContain("published, other hardware");
});

test("figures come as SVG and as PNG", async () => {
  const directory = await temporaryDirectory();
  const { start: _, parallel: __, memory: ___, density: ____, ...serialOnly } = RESULTS;
  const files = await drawFigures(serialOnly, directory);
  expect(files.map((file) => path.basename(file))).toEqual([
    "serial-cdf.svg",
    "serial-cdf.png",
    "serial-steps.svg",
    "serial-steps.png",
  ]);
  const png = await readFile(path.join(directory, "serial-cdf.png"));
  expect(png.subarray(1, 4).toString()).toBe("PNG");
});

test("a results file is named by date and kind of machine, and reads back as it was to the microsecond", async () => {
  const file = await writeResults(await temporaryDirectory(), RESULTS);
  expect(path.basename(file)).toBe("2026-01-02T03-04-05-2c-tcg.json");
  const { serial = [], ...rest } = await readResults(file);
  expect(rest).toMatchObject({ seed: 7, machine: RESULTS.machine, absent: RESULTS.absent });
  expect(serial.map(({ totalMs }) => totalMs)).toEqual(RESULTS.serial?.map(({ totalMs }) => totalMs));
  expect(serial[0]?.calls[1]?.ms).toBeCloseTo(28, 3);
});

test("a file that is something else is refused by name", async () => {
  const file = path.join(await temporaryDirectory(), "x.json");
  await expect(readResults(file)).rejects.toThrow(file);
});

test("the page's own words outlive its measured part", () => {
  const first = withMeasuredPart("", measuredPart([RESULTS]));
  const edited = first
    .replace("<!-- measured: begin", "## What the figures say\n\n<!-- measured: begin")
    .replace("## Measured: all", "## Old")
    .concat("\n## Where the rest goes\n");
  const second = withMeasuredPart(edited, measuredPart([RESULTS]));
  expect(second).toContain("# Performance");
  expect(second).toContain("## What the figures say");
  expect(second).toContain("## Where the rest goes");
  expect(second).not.toContain("## Old");
  expect(second.match(/## Measured: all/g)).toHaveLength(1);
});
