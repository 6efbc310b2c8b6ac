/**
 * What inspection costs: two daemons on the fake driver, one with it and one without, and the same pods in both.
 *
 * The pods take turns between the daemons, so that whatever else the machine does disturbs both alike. CPU time is the daemon's
 * own, of all its threads; memory is read when the daemon is idle. The fakes' share is in both.
 */
import { buildDist } from "../../setup/lib/dist.ts";
import { streamProgress } from "../../setup/lib/progress.ts";
import { ensureArtifacts } from "../../setup/steps/artifacts.ts";
import { pause } from "../../src/lib/async.ts";
import { processStat } from "../../src/lib/processes/processes.ts";
import { DensityNode } from "../density/node.ts";
import { memoryOf } from "../node/memory.ts";
import { seeded } from "../stats/random.ts";
import { IDLE_MS } from "../suites/memory.ts";

/** Starts before which nothing counts: code is compiled, threads are started. */
const WARM_UP = 40;

interface Side {
  readonly name: "on" | "off";
  readonly node: DensityNode;
  readonly wallMs: number[];
  cpuMs: number;
  bytes: number;
}

/** Prints a table. */
export async function measureInspection(pods: number, seed: number): Promise<void> {
  process.env["BLAZAR_CACHE"] = (await ensureArtifacts()).cache;
  await buildDist(streamProgress());
  const random = seeded(seed);
  const sides: Side[] = [];
  try {
    for (const name of ["on", "off"] as const) {
      const node = await DensityNode.start({ inspection: { enabled: name === "on" } });
      sides.push({ name, node, wallMs: [], cpuMs: 0, bytes: 0 });
    }
    await startPods(sides, "warm", WARM_UP, random);
    await pause(IDLE_MS);
    const before = await Promise.all(sides.map(({ node }) => spent(node)));
    for (const side of sides) side.wallMs.length = 0;
    await startPods(sides, "pod", pods, random);
    const cpu = await Promise.all(sides.map(({ node }) => cpuOf(node)));
    await pause(IDLE_MS);
    const after = await Promise.all(sides.map(({ node }) => spent(node)));
    sides.forEach((side, index) => {
      side.cpuMs = ((cpu[index] ?? 0) - (before[index]?.cpuMs ?? 0)) / pods;
      side.bytes = ((after[index]?.bytes ?? 0) - (before[index]?.bytes ?? 0)) / pods;
    });
    print(sides, pods);
  } finally {
    await Promise.all(sides.map(({ node }) => node.stop()));
  }
}

async function startPods(
  sides: readonly Side[],
  prefix: string,
  count: number,
  random: () => number,
): Promise<void> {
  const ids = Array.from({ length: count }, (_, index) => `${prefix}-${String(index).padStart(5, "0")}`);
  for (const { node } of sides) await node.prepare(ids);
  for (const id of ids) {
    const order = random() < 0.5 ? sides : [...sides].reverse();
    for (const { node, wallMs } of order) {
      const begin = performance.now();
      await node.startPod(id);
      wallMs.push(performance.now() - begin);
    }
  }
}

async function spent(node: DensityNode): Promise<{ readonly cpuMs: number; readonly bytes: number }> {
  return { cpuMs: await cpuOf(node), bytes: (await memoryOf(node.pid))?.anonymous ?? 0 };
}

async function cpuOf({ pid }: DensityNode): Promise<number> {
  return (await processStat(pid))?.cpuMs ?? 0;
}

function print(sides: readonly Side[], pods: number): void {
  const line = (...columns: readonly string[]) =>
    process.stdout.write(`${columns.map((column) => column.padEnd(16)).join("")}\n`);
  line("inspection", "start p50 ms", "start p90 ms", "CPU ms a start", "KB a sandbox");
  for (const { name, wallMs, cpuMs, bytes } of sides) {
    const sorted = [...wallMs].sort((one, other) => one - other);
    const at = (share: number) => (sorted[Math.floor(sorted.length * share)] ?? 0).toFixed(2);
    line(name, at(0.5), at(0.9), cpuMs.toFixed(2), (bytes / 1000).toFixed(1));
  }
  const [on, off] = sides;
  if (on === undefined || off === undefined) return;
  const cpu = on.cpuMs - off.cpuMs;
  const kilobytes = (on.bytes - off.bytes) / 1000;
  const pairs = on.wallMs
    .map((ms, index) => ms / (off.wallMs[index] ?? ms))
    .sort((one, other) => one - other);
  const ratio = pairs[Math.floor(pairs.length / 2)] ?? 1;
  line("difference", `× ${ratio.toFixed(3)}`, "", cpu.toFixed(2), kilobytes.toFixed(1));
  process.stdout.write(`${pods} pods in each daemon; the ratio is the median of pairs\n`);
}
