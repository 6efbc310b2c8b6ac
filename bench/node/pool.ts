/**
 * The daemon's templates and pool: how the benchmark configures them, and waits until they are there.
 *
 * Nothing of it is counted: a figure is taken when the pool is full and no template is being built.
 */
import { until } from "../../lab/host/until.ts";
import type { NodeConfig } from "../../lab/node/blazard-config.ts";
import { BlazarError, blazarError, reasonOf } from "../../src/contracts/errors.ts";
import { pause } from "../../src/lib/async.ts";
import type { BenchNode } from "./bench-node.ts";
import { type PodFacts, podFacts, startPod } from "./pod.ts";
import { BLAZAR, type Variant } from "./variants.ts";

const POLL_MS = 50;
/** A rehearsed clone takes about a second under software emulation. */
const WARM_TIMEOUT_MS = 300_000;
/** A template is built behind the first start, by a boot of its own. */
const TEMPLATE_TIMEOUT_MS = 120_000;
const TEMPLATE_POLL_MS = 1_000;
/** MiB of the limit for each warm VM: so much that the limit never decides. */
const MEMORY_OF_ONE = 512;

/** The pool, under `pool` in the daemon's metrics. */
interface PoolState {
  /** As many VMs as configured are ready and rehearsed. */
  readonly warm: boolean;
}

/** The originals that VMs are forked from, under `forks` in the daemon's metrics. */
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
  const reason = "this daemon tells nothing of a pool";
  throw blazarError("Unimplemented", "ask the pool whether it is warm", reason);
}

/** Waits until the pool is warm. Throws DeadlineExceeded, Unimplemented. */
export async function untilPoolIsWarm(node: BenchNode, signal: AbortSignal): Promise<void> {
  const patience = { timeoutMs: WARM_TIMEOUT_MS, pollMs: POLL_MS, signal };
  await until("a warm pool", async () => ((await poolIsWarm(node)) ? true : undefined), patience);
}

/**
 * Runs pods until one did not have to boot. Then the template is built, and the original too, where VMs are forked.
 *
 * A pod that fails is tried again: after a restart of the daemon, containerd may pause before it connects anew. Returns
 * the last pod's facts. After the deadline it returns whatever they are, or throws why no pod ran at all.
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
    await pause(TEMPLATE_POLL_MS, signal);
  }
}

/** Where VMs are forked, the original is made in the pause after the first pod. */
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
