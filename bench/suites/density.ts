/**
 * A thousand pods in one daemon, on the fake driver: do memory and the time of a start stay the same?
 *
 * A start goes from Controller.Create to the answer of Task.Start, without containerd; the guests answer at once. Memory
 * is read when the daemon is idle.
 */

import { pause } from "../../src/lib/async.ts";
import { DensityNode } from "../density/node.ts";
import { type Memory, memoryOf, memoryOfOnlyNode } from "../node/memory.ts";
import type { Density, DensityPoint } from "../output/results.ts";
import type { SuiteContext } from "./context.ts";
import { IDLE_MS } from "./memory.ts";

const SUITE = "density";
/** Shares of all pods at which memory is taken. */
const STOPS = [0.1, 0.5, 1];
const PREPARED_AT_ONCE = 50;
const NOTHING: Memory = { pss: 0, anonymous: 0 };

export async function runDensity({ pods, progress, signal }: SuiteContext): Promise<Density> {
  progress.line(`${SUITE}: starting a daemon on the fake driver`);
  const node = await DensityNode.start();
  try {
    const stops = new Set(STOPS.map((share) => Math.round(pods * share)));
    const startMs: number[] = [];
    const points: DensityPoint[] = [await measure(node, 0)];
    for (let count = 1; count <= pods; count++) {
      signal.throwIfAborted();
      if ((count - 1) % PREPARED_AT_ONCE === 0) await node.prepare(namesFrom(count, pods));
      const begin = performance.now();
      await node.startPod(nameOf(count));
      startMs.push(performance.now() - begin);
      progress.at(SUITE, count, pods, `${startMs.at(-1)?.toFixed(1)} ms`);
      if (!stops.has(count)) continue;
      await pause(IDLE_MS);
      points.push(await measure(node, count));
    }
    progress.line(`${SUITE}: ending ${pods} sandboxes`);
    return { points, startMs };
  } finally {
    await node.stop();
  }
}

async function measure(node: DensityNode, sandboxes: number): Promise<DensityPoint> {
  const [daemon, keeper] = await Promise.all([
    memoryOfOnlyNode(node.pid),
    node.keeperPid().then((pid) => memoryOf(pid)),
  ]);
  return { sandboxes, daemon: daemon ?? NOTHING, keeper: keeper ?? NOTHING };
}

function namesFrom(count: number, most: number): string[] {
  const last = Math.min(most, count + PREPARED_AT_ONCE - 1);
  return Array.from({ length: last - count + 1 }, (_, index) => nameOf(count + index));
}

function nameOf(count: number): string {
  return `density-${String(count).padStart(5, "0")}`;
}
