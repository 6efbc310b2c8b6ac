/**
 * From a process that the keeper makes to a VMM that answers, and the undoing of both if anything fails.
 *
 * A launch that fails or is called off leaves nothing: the process is killed and reaped and its files are removed before
 * the caller hears of it. That is why the keeper's answer is waited for even after an abort.
 */
import { BlazarError, blazarError, type ErrorCode } from "../../contracts/errors.ts";
import type { StartedProcess } from "../../contracts/keeper.ts";
import type { Logger } from "../../contracts/logger.ts";
import type { VmNic } from "../../contracts/vm.ts";
import { endOf } from "../../lib/signals.ts";
import { logTail } from "./last-words.ts";
import { type LaunchStep, LaunchWatch } from "./launch-watch.ts";
import { RunningProcess, type VmmParent } from "./running-process.ts";
import { removeVmFiles, type VmPaths } from "./vm-paths.ts";

/** A VMM that dies closes its sockets a little before it is reaped. */
const EXIT_GRACE_MS = 1000;

/** The connection by which a driver controls its VMM. */
export interface Control {
  close(): void;
}

/** What all launches of a driver have in common. */
export interface LaunchSettings {
  readonly keeper: VmmParent;
  /** For errors: `"QEMU"`. */
  readonly vmm: string;
  readonly launchMs: number;
  /** From SIGKILL until the VMM is reaped. */
  readonly exitMs: number;
  readonly logger: Logger;
}

/** One launch. */
export interface Launch<C extends Control> {
  readonly id: string;
  readonly paths: VmPaths;
  /** Has the keeper make the process. */
  make(): Promise<StartedProcess>;
  /** Connects as soon as the VMM listens; rejects at the abort. */
  connect(signal: AbortSignal): Promise<C>;
  /** Has the guest go on, unless it does so by itself. @param pid the VMM's */
  run?(control: C, step: (name: string) => void, signal: AbortSignal, pid: number): Promise<void>;
  /** What the driver's errors are when the connection breaks, as it does when the VMM dies. */
  readonly broken: readonly ErrorCode[];
}

/** A VMM that answers. */
export interface Launched<C extends Control> {
  readonly process: RunningProcess;
  readonly control: C;
  readonly nics: readonly VmNic[];
  readonly timeline: readonly LaunchStep[];
}

/** Throws Cancelled, DeadlineExceeded, VmmFailed (with the VMM's last words), and what the keeper and the driver throw. */
export async function launchVmm<C extends Control>(
  settings: LaunchSettings,
  launch: Launch<C>,
  signal: AbortSignal | undefined,
): Promise<Launched<C>> {
  const { vmm, launchMs } = settings;
  const watch = new LaunchWatch({ vmm, id: launch.id, launchMs }, signal);
  try {
    watch.check();
    const { process, nics } = await make(settings, launch);
    watch.step("spawned");
    const control = await greet(settings, launch, process, watch);
    return { process, control, nics, timeline: watch.timeline };
  } finally {
    watch.end();
  }
}

async function make<C extends Control>(
  { keeper }: LaunchSettings,
  { id, paths, make }: Launch<C>,
): Promise<Pick<Launched<C>, "process" | "nics">> {
  try {
    const { pid, startTime, taps } = await make();
    const nics = taps.map(({ name, namespace }) => ({ tap: name, namespace }));
    return { process: new RunningProcess(keeper, id, { pid, startTime }), nics };
  } catch (error) {
    // The files are another VM's if it has the same id.
    if (!(error instanceof BlazarError && error.code === "ProcessExists")) await removeVmFiles(paths);
    throw error;
  }
}

/** The control connection, or the reason why there is none, after everything has been undone. */
async function greet<C extends Control>(
  settings: LaunchSettings,
  launch: Launch<C>,
  process: RunningProcess,
  watch: LaunchWatch,
): Promise<C> {
  const connecting = launch.connect(watch.signal);
  const ready = connecting.then(async (control) => {
    watch.step("answering");
    await launch.run?.(control, (step) => watch.step(step), watch.signal, process.identity.pid);
    watch.check();
    return control;
  });
  try {
    const first = await Promise.race([ready, process.exited.then(asDied)]);
    if (first === DIED) throw await diedAtStart(settings, launch, process);
    watch.check();
    return first;
  } catch (error) {
    const reason = await explain(error, settings, launch, process, watch);
    watch.end();
    ready.catch(() => undefined);
    connecting.then((control) => control.close()).catch(() => undefined);
    await process.kill(settings.exitMs).catch((err: unknown) => {
      settings.logger.error({ vm: process.id, err }, "a VMM that failed to start cannot be killed");
    });
    await removeVmFiles(launch.paths);
    throw reason;
  }
}

const DIED = Symbol("the VMM has died");

/** Not a closure: what waits for the exit is kept as long as the VM lives. */
function asDied(): typeof DIED {
  return DIED;
}

/** What an error of a launch means. */
async function explain<C extends Control>(
  error: unknown,
  settings: LaunchSettings,
  launch: Launch<C>,
  process: RunningProcess,
  watch: LaunchWatch,
): Promise<unknown> {
  const reason = watch.reason();
  if (reason !== undefined) return reason;
  // A VMM that dies may have the connection refused, reset or ended, whichever comes first.
  if (!(error instanceof BlazarError && launch.broken.includes(error.code))) return error;
  const exit = await process.exitWithin(EXIT_GRACE_MS);
  return exit === undefined ? error : diedAtStart(settings, launch, process);
}

async function diedAtStart<C extends Control>(
  { vmm }: LaunchSettings,
  { id, paths }: Launch<C>,
  process: RunningProcess,
): Promise<BlazarError> {
  const how = endOf(await process.exited);
  const log = await logTail(paths.log);
  const words = log === "" ? " and said nothing" : `: ${log}`;
  return blazarError("VmmFailed", "start the VMM", `${vmm} ended with ${how}${words}`, { subject: id });
}
