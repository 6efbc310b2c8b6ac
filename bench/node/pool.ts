/**
 * What the benchmark knows of the daemon's pool: its configuration keys and when it is warm.
 *
 * The only place that knows; a daemon without a pool makes every variant that needs one absent.
 */
import { setTimeout as delay } from "node:timers/promises";
import { CONFIG_SCHEMA } from "../../src/cli/config/schema.ts";
import type { NodeConfig } from "../../src/cli/demo/private-node.ts";
import { BlazarError } from "../../src/contracts/errors.ts";
import type { BenchNode } from "./bench-node.ts";

const SECTION = "pool";
const POLL_MS = 50;
/** A rehearsed clone takes about a second under software emulation. */
const WARM_TIMEOUT_MS = 300_000;

/** What the daemon tells of its pool, under `pool` in its metrics. */
interface PoolState {
  /** As many VMs as configured are ready and rehearsed. */
  readonly warm: boolean;
}

/** Whether this daemon has a pool at all: whether its configuration has keys for one. */
export function hasPool(): boolean {
  return SECTION in CONFIG_SCHEMA;
}

/** The keys for a pool that keeps so many VMs; none where the daemon has no pool. */
export function poolConfig(size: number): NodeConfig {
  return hasPool() ? { [SECTION]: { min: size, max: size } } : {};
}

/** Whether the pool is as full as configured. Throws Unimplemented where the daemon has no pool. */
export async function poolIsWarm(node: BenchNode): Promise<boolean> {
  const { parts } = await node.metrics();
  const pool = parts["pool"] as PoolState | undefined;
  if (pool !== undefined) return pool.warm;
  throw new BlazarError("Unimplemented", {
    operation: "ask the pool whether it is warm",
    reason: "this daemon has no pool",
  });
}

/** Waits, uncounted, until the pool is warm. Throws DeadlineExceeded, or Unimplemented as {@link poolIsWarm}. */
export async function untilPoolIsWarm(node: BenchNode): Promise<void> {
  const deadline = performance.now() + WARM_TIMEOUT_MS;
  while (!(await poolIsWarm(node))) {
    if (performance.now() > deadline) {
      throw new BlazarError("DeadlineExceeded", {
        operation: "wait for the pool",
        reason: `it is not warm after ${WARM_TIMEOUT_MS / 1000} s`,
      });
    }
    await delay(POLL_MS);
  }
}
