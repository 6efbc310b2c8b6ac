/**
 * A VMM that an earlier daemon has started: found again by what names it, and connected to anew.
 *
 * One that has ended leaves nothing: the keeper forgets it and its files are removed. One that does not answer is left alone;
 * who asked decides about it.
 */
import { BlazarError, blazarError, type ErrorCode } from "../../contracts/errors.ts";
import type { VmAdoption } from "../../contracts/vmm.ts";
import { endOf } from "../../lib/signals.ts";
import { logTail } from "./last-words.ts";
import type { Control, Launched, LaunchSettings } from "./launch.ts";
import { LaunchWatch } from "./launch-watch.ts";
import { RunningProcess } from "./running-process.ts";
import { removeVmFiles, type VmPaths } from "./vm-paths.ts";

/** A VMM that dies closes its sockets a little before it is reaped. */
const EXIT_GRACE_MS = 1000;

export interface Adoption<C extends Control> {
  readonly paths: VmPaths;
  /** Connects; rejects at the abort. */
  connect(signal: AbortSignal): Promise<C>;
  /** What the driver's errors are when the connection breaks, as it does when the VMM dies. */
  readonly broken: readonly ErrorCode[];
}

/** Throws VmmExited with the VMM's last words; Cancelled, DeadlineExceeded, and what connecting throws. */
export async function adoptVmm<C extends Control>(
  settings: LaunchSettings,
  { id, identity, nics }: VmAdoption,
  adoption: Adoption<C>,
  signal: AbortSignal | undefined,
): Promise<Launched<C>> {
  const { keeper, vmm, launchMs } = settings;
  const watch = new LaunchWatch({ vmm, id, launchMs, operation: "take over the VMM" }, signal);
  const process = new RunningProcess(keeper, id, identity);
  const connecting = adoption.connect(watch.signal);
  try {
    watch.check();
    const first = await Promise.race([connecting, process.exited.then(asEnded)]);
    if (first === ENDED) throw await ended(process, adoption.paths, vmm, settings.exitMs);
    watch.check();
    watch.step("adopted");
    return { process, control: first, nics, timeline: watch.timeline };
  } catch (error) {
    connecting.then((control) => control.close()).catch(() => undefined);
    const broken = error instanceof BlazarError && adoption.broken.includes(error.code);
    const exit = broken ? await process.exitWithin(EXIT_GRACE_MS) : undefined;
    if (exit !== undefined) throw await ended(process, adoption.paths, vmm, settings.exitMs);
    throw watch.reason() ?? error;
  } finally {
    watch.end();
  }
}

const ENDED = Symbol("the VMM has ended");

/** Not a closure: what waits for the exit is kept as long as the VM lives. */
function asEnded(): typeof ENDED {
  return ENDED;
}

/** Clears up after it. */
async function ended(
  process: RunningProcess,
  paths: VmPaths,
  vmm: string,
  exitMs: number,
): Promise<BlazarError> {
  const [how, log] = await Promise.all([process.exited, logTail(paths.log)]);
  await process.kill(exitMs);
  await removeVmFiles(paths);
  const words = log === "" ? "" : `: ${log}`;
  const reason = `${vmm} has ended with ${endOf(how)}${words}`;
  return blazarError("VmmExited", "take over the VMM", reason, { subject: process.id });
}
