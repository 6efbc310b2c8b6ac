/**
 * Many pods at once: the wall time until all run, and each pod's own time.
 *
 * blazar is measured twice: with a pool of as many VMs, and without a pool. The daemon is restarted for each
 * measurement, so that idle VMs of one never disturb another. Pods that wait for the template come first, uncounted. A
 * measurement in which a pod fails does not count.
 */
import { type BlazarError, blazarError, reasonOf } from "../../src/contracts/errors.ts";
import { BenchNode } from "../node/bench-node.ts";
import { startPod } from "../node/pod.ts";
import { poolConfig, untilPoolIsWarm, untilTemplateIsBuilt } from "../node/pool.ts";
import { BLAZAR, handlerVariant, type Variant } from "../node/variants.ts";
import type { ParallelSample } from "../output/results.ts";
import { shuffled } from "../stats/random.ts";
import type { SuiteContext } from "./context.ts";

/** A variant and the pool that it is measured with. */
interface Setting {
  readonly name: string;
  readonly variant: Variant;
  readonly poolSize: number;
}

const SUITE = "parallel";

export async function runParallel(context: SuiteContext): Promise<ParallelSample[]> {
  const { artifacts, containerdConfig, progress, runs, random, signal } = context;
  progress.line(`${SUITE}: starting a node`);
  const node = await BenchNode.start({ artifacts, config: poolConfig(0), containerdConfig });
  const samples: ParallelSample[] = [];
  try {
    const settings = settingsOf(context);
    let done = 0;
    for (let round = 1; round <= runs; round++) {
      for (const setting of shuffled(settings, random)) {
        signal.throwIfAborted();
        done += 1;
        try {
          const sample = await measure(node, setting, round, context);
          samples.push(sample);
          const news = `${setting.name} ${(sample.wallMs / 1000).toFixed(2)} s`;
          progress.at(SUITE, done, runs * settings.length, news);
        } catch (error) {
          context.absent.push({ what: `${SUITE}: ${setting.name}, round ${round}`, why: reasonOf(error) });
          progress.line(`${SUITE}: ${setting.name}: not counted: ${reasonOf(error)}`);
          await node.removeAllPods();
        }
      }
    }
    return samples;
  } finally {
    await node.stop();
  }
}

function settingsOf({ handlers, pods }: SuiteContext): Setting[] {
  return handlers.flatMap((handler): Setting[] => {
    const variant = handlerVariant(handler);
    if (handler !== BLAZAR) return [{ name: handler, variant, poolSize: 0 }];
    const noPool = { name: "noPool", variant, poolSize: 0 };
    return [{ name: "pool", variant, poolSize: pods }, noPool];
  });
}

async function measure(
  node: BenchNode,
  setting: Setting,
  round: number,
  { pods, progress, learned, signal }: SuiteContext,
): Promise<ParallelSample> {
  const { variant, poolSize, name } = setting;
  const blazar = variant.handler === BLAZAR;
  await node.reconfigure(poolConfig(poolSize));
  const facts = await untilTemplateIsBuilt(node, variant, signal);
  learned.acceleration = facts?.acceleration ?? learned.acceleration;
  if (poolSize > 0) {
    progress.line(`${SUITE}: filling a pool of ${poolSize}`);
    await untilPoolIsWarm(node, signal);
  }
  // the loop's delay counts from this reading on
  if (blazar) await node.metrics();
  const begin = performance.now();
  const started = await Promise.allSettled(Array.from({ length: pods }, () => startPod(node, variant)));
  const wallMs = performance.now() - begin;
  const loopDelay = blazar ? (await node.metrics()).loopDelay : null;
  await node.removeAllPods();
  const failed = started.filter((each) => each.status === "rejected");
  if (failed.length > 0) throw failure(failed.length, pods, failed[0]?.reason);
  const podMs = started.flatMap((each) => (each.status === "fulfilled" ? [each.value.totalMs] : []));
  return { variant: name, round, pods, wallMs, podMs, loopDelay };
}

function failure(failed: number, pods: number, cause: unknown): BlazarError {
  const reason = `${failed} of them failed, the first because: ${reasonOf(cause)}`;
  return blazarError("Internal", `start ${pods} pods at once`, reason, { cause });
}
