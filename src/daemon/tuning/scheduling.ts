/**
 * Raises the daemon's share of the processors, so that it runs at once when dozens of VMs are busy.
 *
 * The daemon works a few milliseconds for each pod, and the pod waits for that. Where the kernel groups processes by
 * session (sched(7), "The autogroup feature"), each VM is a group and the daemon only one of many. Under systemd with
 * CPU control groups, CPUWeight= decides instead, and this has no effect. The session may be a shell's, with whatever else an
 * operator runs in it: then its weight stays.
 */
import { writeFile } from "node:fs/promises";
import type { Logger } from "../../contracts/logger.ts";
import { processStat } from "../../lib/processes/processes.ts";

/**
 * 86 times the weight of others (sched(7), "nice value"): a processor whenever the daemon wants one. With nine times,
 * the daemon had a third of one among twenty busy VMs, and its event loop waited up to 38 ms.
 */
const AUTOGROUP_NICE = "-20";
const AUTOGROUP = "/proc/self/autogroup";

/** Raises the weight of a session that is this process's own. Where that is impossible, it logs a line and goes on. */
export async function raiseSchedulingWeight(
  logger: Pick<Logger, "debug">,
  file = AUTOGROUP,
  leadsSession = leadsItsSession,
): Promise<void> {
  if (!(await leadsSession())) {
    logger.debug({}, "the daemon's scheduling weight stays what it is: the session is somebody else's");
    return;
  }
  try {
    await writeFile(file, AUTOGROUP_NICE);
  } catch (error) {
    logger.debug({ err: error }, "the daemon's scheduling weight stays what it is");
  }
}

async function leadsItsSession(): Promise<boolean> {
  return (await processStat(process.pid))?.session === process.pid;
}
