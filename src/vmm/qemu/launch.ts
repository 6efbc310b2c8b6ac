/**
 * From a VmSpec to a QEMU that answers: spawn, QMP greeting, and the undoing of both if anything fails.
 *
 * A launch that is called off or fails leaves nothing: the process is killed and reaped, its files are removed,
 * before the caller hears of it. The keeper's spawn is therefore waited for even after an abort.
 */
import { BlazarError, blazarError } from "../../contracts/errors.ts";
import type { ProcessFork, ProcessIdentity } from "../../contracts/keeper.ts";
import type { Logger } from "../../contracts/logger.ts";
import type { VmSpec } from "../../contracts/vm.ts";
import { RunningProcess, type VmmParent } from "../common/running-process.ts";
import type { Accelerator } from "./accelerator.ts";
import { logTail } from "./console.ts";
import { removeVmFiles, type VmPaths, vmPaths } from "./paths.ts";
import { type Extra, type HostFacts, type MemorySource, STATE, vmmProcess } from "./process.ts";
import { QmpClient } from "./qmp/client.ts";
import { checkSpec } from "./spec.ts";
import { restore } from "./templates/restore.ts";
import { QemuVm, type VmDeadlines } from "./vm.ts";

/** A QEMU that dies closes its sockets a little before it is reaped. */
const EXIT_GRACE_MS = 1000;

/** What all launches of a driver have in common. */
export interface Launcher {
  readonly keeper: VmmParent;
  readonly binary: string;
  /** QEMU's, as `7.2.22`. */
  readonly version: string;
  readonly accelerator: Accelerator;
  readonly kernel: string;
  readonly initramfs: string;
  readonly facts: HostFacts;
  readonly launchMs: number;
  readonly deadlines: VmDeadlines;
  readonly logger: Logger;
}

/** A VM whose QEMU is started: one that boots, or a clone. */
export async function launchVm(
  launcher: Launcher,
  spec: VmSpec,
  signal?: AbortSignal,
  source: MemorySource = { kind: "own" },
  extra?: Extra,
): Promise<QemuVm> {
  const paths = checkedPaths(spec);
  const process = vmmProcess({ ...launcher, spec, paths, source, extra }, launcher.facts);
  const make = (): Promise<ProcessIdentity> => launcher.keeper.spawn(process);
  const run: Run = source.kind === "cloned" ? (qmp, ...rest) => restore(qmp, STATE, ...rest) : undefined;
  return start(launcher, { id: spec.id, make, paths, run }, signal);
}

/** A VM whose process is a fork of another VM's, which is paused. */
export async function forkVm(
  launcher: Launcher,
  spec: VmSpec,
  fork: ProcessFork,
  signal?: AbortSignal,
): Promise<QemuVm> {
  const paths = checkedPaths(spec);
  const make = (): Promise<ProcessIdentity> => launcher.keeper.fork(fork);
  const run: Run = async (qmp, step) => {
    await qmp.execute("cont");
    step("running");
  };
  return start(launcher, { id: spec.id, make, paths, run }, signal);
}

/** Has a guest go on, unless it does so by itself. */
type Run = ((qmp: QmpClient, step: (name: string) => void, signal: AbortSignal) => Promise<void>) | undefined;

interface Start {
  readonly id: string;
  /** Has the keeper make the process. */
  readonly make: () => Promise<ProcessIdentity>;
  readonly paths: VmPaths;
  readonly run: Run;
}

function checkedPaths(spec: VmSpec): VmPaths {
  checkSpec(spec);
  return vmPaths(spec.directory);
}

async function start(launcher: Launcher, what: Start, signal: AbortSignal | undefined): Promise<QemuVm> {
  const { paths } = what;
  const watch = new LaunchWatch(what.id, launcher.launchMs, signal);
  try {
    watch.check();
    const process = await spawn(launcher, what);
    watch.step("spawned");
    const qmp = await greet(launcher, process, paths, watch, what.run);
    const { deadlines, logger, accelerator } = launcher;
    const acceleration = accelerator.name;
    return new QemuVm({ process, qmp, paths, acceleration, timeline: watch.timeline, deadlines, logger });
  } finally {
    watch.end();
  }
}

async function spawn({ keeper }: Launcher, { id, make, paths }: Start): Promise<RunningProcess> {
  try {
    return new RunningProcess(keeper, id, await make());
  } catch (error) {
    // another VM's, if it has the same id
    if (!(error instanceof BlazarError && error.code === "ProcessExists")) await removeVmFiles(paths);
    throw error;
  }
}

/** The QMP connection, or the reason why there is none, after everything has been undone. */
async function greet(
  launcher: Launcher,
  process: RunningProcess,
  paths: VmPaths,
  watch: LaunchWatch,
  run: Run,
): Promise<QmpClient> {
  const connecting = QmpClient.connect(paths.control, watch.signal);
  const ready = connecting.then(async (qmp) => {
    watch.step("answering");
    await run?.(qmp, (step) => watch.step(step), watch.signal);
    watch.check();
    return qmp;
  });
  const died = process.exited.then(asDied);
  try {
    const first = await Promise.race([ready, died]);
    if (first !== "died") {
      watch.check();
      return first;
    }
    throw await diedAtStart(process, paths);
  } catch (error) {
    const reason = await watch.explain(error, process, paths);
    watch.end();
    ready.catch(() => undefined);
    connecting.then((qmp) => qmp.close()).catch(() => undefined);
    await process.kill(launcher.deadlines.exitMs).catch((err: unknown) => {
      launcher.logger.error({ vm: process.id, err }, "a VMM that failed to start cannot be killed");
    });
    await removeVmFiles(paths);
    throw reason;
  }
}

/** Not a closure: what waits for the exit is kept as long as the VM lives. */
function asDied(): "died" {
  return "died";
}

/** Why the signal of a launch that is over aborts: one for all, as without a reason each would get an exception. */
const OVER = "the launch is over";

/** Times a launch, and calls it off by the caller's signal or the deadline. */
class LaunchWatch {
  readonly timeline: { step: string; ms: number }[] = [];
  private readonly controller = new AbortController();
  private readonly started = performance.now();
  private readonly timer: NodeJS.Timeout;
  private readonly onAbort = (): void => this.stop("cancelled");
  private why: "cancelled" | "late" | undefined;

  constructor(
    private readonly id: string,
    private readonly launchMs: number,
    private readonly caller: AbortSignal | undefined,
  ) {
    this.timer = setTimeout(() => this.stop("late"), launchMs);
    caller?.addEventListener("abort", this.onAbort, { once: true });
    if (caller?.aborted === true) this.stop("cancelled");
  }

  get signal(): AbortSignal {
    return this.controller.signal;
  }

  step(name: string): void {
    this.timeline.push({ step: name, ms: performance.now() - this.started });
  }

  /** Throws if the launch has been called off. */
  check(): void {
    const reason = this.reason();
    if (reason !== undefined) throw reason;
  }

  /** What an error of a launch means. */
  async explain(error: unknown, process: RunningProcess, paths: VmPaths): Promise<unknown> {
    const reason = this.reason();
    if (reason !== undefined) return reason;
    // a QEMU that dies may have the connection refused, reset or ended, whichever comes first
    if (!(error instanceof BlazarError && ["QmpFailed", "LinkClosed"].includes(error.code))) return error;
    const exit = await process.exitWithin(EXIT_GRACE_MS);
    return exit === undefined ? error : diedAtStart(process, paths);
  }

  /** No timer and no listener is left; whoever still waits for {@link signal} is let go. */
  end(): void {
    clearTimeout(this.timer);
    this.caller?.removeEventListener("abort", this.onAbort);
    this.controller.abort(OVER);
  }

  private stop(why: "cancelled" | "late"): void {
    this.why ??= why;
    this.controller.abort();
  }

  private reason(): BlazarError | undefined {
    const details = { operation: "start the VMM", subject: this.id };
    if (this.why === "cancelled")
      return new BlazarError("Cancelled", { ...details, reason: "it was called off" });
    if (this.why !== "late") return undefined;
    return new BlazarError("DeadlineExceeded", {
      ...details,
      reason: `QEMU did not answer in ${this.launchMs} ms`,
    });
  }
}

async function diedAtStart(process: RunningProcess, paths: VmPaths): Promise<BlazarError> {
  const { code, signal } = await process.exited;
  const how = signal > 0 ? `signal ${signal}` : `status ${code}`;
  const log = await logTail(paths.log);
  return blazarError(
    "VmmFailed",
    "start the VMM",
    log === "" ? `QEMU ended with ${how} and said nothing` : `QEMU ended with ${how}: ${log}`,
    { subject: process.id },
  );
}
