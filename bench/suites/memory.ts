/**
 * The memory that managing pods takes: the daemon and its keeper against one shim a pod, as pods are added.
 *
 * Measured when idle (no request for a while, and no change any more) and right after load (commands in every pod). The
 * memory of the sandboxes themselves, VMMs or containers, is kept apart.
 */
import { reasonOf } from "../../src/contracts/errors.ts";
import { pause } from "../../src/lib/async.ts";
import { BenchNode } from "../node/bench-node.ts";
import { type Memory, memoryOfAll, memoryOfOnlyNode } from "../node/memory.ts";
import { type StartedPod, startPod } from "../node/pod.ts";
import { poolConfig, untilTemplateIsBuilt } from "../node/pool.ts";
import { BLAZAR, handlerVariant } from "../node/variants.ts";
import type { MemorySample } from "../output/results.ts";
import { shuffled } from "../stats/random.ts";
import type { SuiteContext } from "./context.ts";

const SUITE = "memory";
const COUNTS = [1, 5, 10, 20, 30, 50, 100, 200];
const QUICK_COUNTS = [1, 10, 30, 50];
const EXECS_PER_POD = 2;
const EXECS_AT_ONCE = 4;
/** Idle: no request for so long. In that time the daemon gives back the memory that it does not need. */
export const IDLE_MS = 10_000;
/** Then two readings at this distance must differ by less than {@link SETTLED_BYTES}. */
const SETTLE_MS = 1_000;
const SETTLED_BYTES = 256 * 1024;
const SETTLE_ATTEMPTS = 8;

export async function runMemory(context: SuiteContext): Promise<MemorySample[]> {
  const { artifacts, containerdConfig, progress, handlers, random, absent, signal } = context;
  const samples: MemorySample[] = [];
  for (const handler of shuffled(handlers, random)) {
    signal.throwIfAborted();
    progress.line(`${SUITE}: starting a node for ${handler}`);
    const node = await BenchNode.start({ artifacts, config: poolConfig(0), containerdConfig });
    try {
      samples.push(...(await growPods(node, handler, context)));
    } catch (error) {
      absent.push({ what: `${SUITE}: ${handler}`, why: reasonOf(error) });
      progress.line(`${SUITE}: ${handler} is absent: ${reasonOf(error)}`);
    } finally {
      await node.stop();
    }
  }
  return samples;
}

async function growPods(node: BenchNode, handler: string, context: SuiteContext): Promise<MemorySample[]> {
  const { pods: most, quick, progress, signal, learned } = context;
  const samples: MemorySample[] = [];
  const pods: StartedPod[] = [];
  const variant = handlerVariant(handler);
  const facts = await untilTemplateIsBuilt(node, variant, signal);
  learned.acceleration = facts?.acceleration ?? learned.acceleration;
  for (const count of (quick ? QUICK_COUNTS : COUNTS).filter((each) => each <= most)) {
    while (pods.length < count) {
      signal.throwIfAborted();
      const pod = await startPod(node, variant);
      pods.push(pod);
      progress.at(`${SUITE} ${handler}`, pods.length, most, "pods");
    }
    await pause(IDLE_MS);
    samples.push(await settled(() => measure(node, handler, count, "idle")));
    await load(node, pods);
    samples.push(await measure(node, handler, count, "loaded"));
  }
  return samples;
}

async function measure(
  node: BenchNode,
  handler: string,
  pods: number,
  phase: MemorySample["phase"],
): Promise<MemorySample> {
  const { daemon, keeper, vmms, shims, shimChildren } = await node.processes();
  const blazar = handler === BLAZAR;
  const sandboxes = blazar ? vmms : shimChildren;
  return {
    handler,
    pods,
    phase,
    daemon: blazar ? await memoryOfOnlyNode(daemon) : null,
    keeper: blazar ? await memoryOfAll([keeper]) : null,
    shims: blazar ? null : await memoryOfAll(shims),
    sandboxes: { count: sandboxes.length, memory: await memoryOfAll(sandboxes) },
  };
}

/** Measures until nothing changes any more. */
async function settled(measureOnce: () => Promise<MemorySample>): Promise<MemorySample> {
  let before = await measureOnce();
  for (let attempt = 0; attempt < SETTLE_ATTEMPTS; attempt++) {
    await pause(SETTLE_MS);
    const now = await measureOnce();
    const change = Math.abs(managers(now).pss - managers(before).pss);
    if (change < SETTLED_BYTES) return now;
    before = now;
  }
  return before;
}

/** What a sample's managers take together. */
export function managers({ daemon, keeper, shims }: MemorySample): Memory {
  const parts = [daemon, keeper, shims].filter((part) => part !== null);
  return {
    pss: parts.reduce((sum, { pss }) => sum + pss, 0),
    anonymous: parts.reduce((sum, { anonymous }) => sum + anonymous, 0),
  };
}

/** Commands in every pod, a few at once. */
async function load(node: BenchNode, pods: readonly StartedPod[]): Promise<void> {
  const queue = pods.flatMap(({ containerId }) => Array<string>(EXECS_PER_POD).fill(containerId));
  const worker = async (): Promise<void> => {
    for (let id = queue.shift(); id !== undefined; id = queue.shift()) await node.cri.execSync(id, ["true"]);
  };
  await Promise.all(Array.from({ length: EXECS_AT_ONCE }, worker));
}
