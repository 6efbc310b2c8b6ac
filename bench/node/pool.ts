/**
 * What the benchmark knows of the daemon's templates and its pool: configuration, and waiting until they are there.
 *
 * All of it is uncounted: a figure is taken when the pool is as full as it gets and no template is being built.
 */
import { setTimeout as delay } from "node:timers/promises";
import type { NodeConfig } from "../../lab/node/blazard-config.ts";
import { BlazarError, blazarError, reasonOf } from "../../src/contracts/errors.ts";
import type { BenchNode } from "./bench-node.ts";
import { type PodFacts, podFacts, startPod } from "./pod.ts";
import { BLAZAR, type Variant } from "./variants.ts";

const POLL_MS = 50;
/** A rehearsed clone takes about a second under software emulation. */
const WARM_TIMEOUT_MS = 300_000;
/** A template is built behind the first start, by a boot of its own. */
const TEMPLATE_TIMEOUT_MS = 120_000;
const TEMPLATE_POLL_MS = 1_000;
/** Guest memory is promised to a warm VM, not taken: the limit must not be what decides. */
const MEMORY_OF_ONE = 512;

/** What the daemon tells of its pool, under `pool` in its metrics. */
interface PoolState {
  /** As many VMs as configured are ready and rehearsed. */
  readonly warm: boolean;
}

/** What it tells under `forks`. */
interface ForksState {
  readonly wanted: boolean;
  readonly ready: boolean;
}

/** The keys for a pool that keeps so many VMs. */
export function poolConfig(size: number): NodeConfig {
  if (size === 0) return { pool: { min: 0, max: 0 } };
  return { pool: { min: size, max: size, memory_limit: `${size * MEMORY_OF_ONE}M` } };
}

/** Whether the pool is as full as configured. Throws Unimplemented where the daemon has none. */
async function poolIsWarm(node: BenchNode): Promise<boolean> {
  const { parts } = await node.metrics();
  const pool = parts["pool"] as PoolState | undefined;
  if (pool !== undefined) return pool.warm;
  throw blazarError(
    "Unimplemented",
    "ask the pool whether it is warm",
    "this daemon tells nothing of a pool",
  );
}

/** Waits until the pool is warm. Throws DeadlineExceeded, Unimplemented. */
export async function untilPoolIsWarm(node: BenchNode, signal: AbortSignal): Promise<void> {
  const deadline = performance.now() + WARM_TIMEOUT_MS;
  while (!(await poolIsWarm(node))) {
    signal.throwIfAborted();
    if (performance.now() > deadline) {
      throw blazarError(
        "DeadlineExceeded",
        "wait for the pool",
        `it is not warm after ${WARM_TIMEOUT_MS / 1000} s`,
      );
    }
    await delay(POLL_MS);
  }
}

/**
 * Runs pods until one did not have to boot: then the template is built, and the VM is there that others are forked from. A pod that fails is tried again, too, for
 * containerd may be waiting between two attempts to reach a daemon that was restarted. Returns the last pod's facts;
 * after the deadline whatever they are, or throws why no pod ran at all.
 */
export async function untilTemplateIsBuilt(
  node: BenchNode,
  variant: Variant,
  signal: AbortSignal,
): Promise<PodFacts | undefined> {
  const deadline = performance.now() + TEMPLATE_TIMEOUT_MS;
  for (;;) {
    signal.throwIfAborted();
    const outcome = await tryPod(node, variant);
    const late = performance.now() > deadline;
    if (outcome instanceof BlazarError) {
      if (late) throw outcome;
    } else if (late) {
      return outcome;
    } else if (outcome?.boot !== "cold" && (variant.handler !== BLAZAR || (await forksAreReady(node)))) {
      return outcome;
    }
    await delay(TEMPLATE_POLL_MS);
  }
}

/** Where VMs are forks, the one that they are forked from is made in the pause after the first pod. */
async function forksAreReady(node: BenchNode): Promise<boolean> {
  const forks = (await node.metrics()).parts["forks"] as ForksState | undefined;
  return forks === undefined || !forks.wanted || forks.ready;
}

async function tryPod(node: BenchNode, variant: Variant): Promise<PodFacts | BlazarError | undefined> {
  try {
    const pod = await startPod(node, variant);
    const facts = await podFacts(node, variant, pod);
    await node.removePod(pod.id);
    return facts;
  } catch (error) {
    return BlazarError.wrap(error, "Internal", { operation: `run a pod (${reasonOf(error)})` });
  }
}
