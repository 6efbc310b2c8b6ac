/**
 * The daemon's share of the processors among those of fifty VMs that want them all at the same time.
 *
 * Where the kernel groups processes by session (sched(7), "The autogroup feature"), each VM is a group of its own and
 * the daemon one of many; what it does for a pod is a few milliseconds, and every pod waits for it. Under systemd with
 * control groups for processors CPUWeight= decides instead, and this has no effect.
 */
import { writeFile } from "node:fs/promises";
import type { Logger } from "../../contracts/logger.ts";

/**
 * 86 times the weight of others (sched(7), "nice value"), which is a processor whenever the daemon wants one: by nine
 * times it was a third of one among twenty busy VMs, and the event loop waited up to 38 ms for its turn.
 */
const AUTOGROUP_NICE = "-20";
const AUTOGROUP = "/proc/self/autogroup";

/** Raises the weight of this process's session; where that can't be done, it says so and goes on. */
export async function raiseSchedulingWeight(logger: Pick<Logger, "debug">, file = AUTOGROUP): Promise<void> {
  try {
    await writeFile(file, AUTOGROUP_NICE);
  } catch (error) {
    logger.debug({ err: error }, "the daemon's scheduling weight stays what it is");
  }
}
