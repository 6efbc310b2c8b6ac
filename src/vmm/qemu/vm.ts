/**
 * A running QEMU as a {@link Vm}: its QMP connection, its agent's port, its disks and other ports, and its end.
 *
 * QMP events become VmmEvents. QEMU holds a guest that has ended (`-action shutdown=pause`) until its console has been read:
 * the text of a kernel panic is not lost. Then QEMU is told to quit. A QEMU whose control connection breaks is of no use and
 * is killed. Nothing here decides what becomes of a sandbox.
 */
import type { Observable } from "rxjs";
import { BlazarError, blazarError } from "../../contracts/errors.ts";
import type { Logger } from "../../contracts/logger.ts";
import type {
  Acceleration,
  ByteLink,
  LogEnd,
  Vm,
  VmDisk,
  VmImage,
  VmmEvent,
  VmNic,
  VmPort,
  VmVitals,
} from "../../contracts/vm.ts";
import { processStat } from "../../lib/processes/processes.ts";
import { endOf } from "../../lib/signals.ts";
import { AgentPort } from "../common/agent-port.ts";
import { logEnd, logTail, showsPanic } from "../common/last-words.ts";
import type { LaunchStep } from "../common/launch-watch.ts";
import type { RunningProcess, VmmExit } from "../common/running-process.ts";
import { TEMPLATE_DISK } from "../common/templates/clones.ts";
import { VmEvents } from "../common/vm-events.ts";
import { removeVmFiles, type VmPaths } from "../common/vm-paths.ts";
import { ConsoleTail } from "./console.ts";
import { attachDisk, type DiskDeadlines, detachDisk, diskFailure } from "./disks/disks.ts";
import { ImageDisks } from "./disks/image-disks.ts";
import { attachPort, detachPort } from "./ports.ts";
import { type QmpClient, type QmpEvent, qmpRefusal } from "./qmp/client.ts";

/** How long a QEMU whose control connection has ended may take to end, too. */
const EXIT_GRACE_MS = 2000;
/** Of its log, that is read for an operator. */
const LOG_BYTES = 64 * 1024;

export interface VmDeadlines extends DiskDeadlines {
  /** From SIGKILL until QEMU is reaped. */
  readonly exitMs: number;
}

export interface QemuVmOptions {
  readonly process: RunningProcess;
  readonly qmp: QmpClient;
  readonly paths: VmPaths;
  readonly nics: readonly VmNic[];
  readonly acceleration: Acceleration;
  readonly timeline: readonly LaunchStep[];
  readonly deadlines: VmDeadlines;
  readonly logger: Logger;
  /** What it was like when it was taken over. */
  readonly adopted?: {
    readonly paused: boolean;
    readonly disks: readonly string[];
    /** Slot → node of the image in it. */
    readonly filled: ReadonlyMap<string, string>;
  };
}

export class QemuVm implements Vm {
  readonly id: string;
  readonly identity: { readonly pid: number; readonly startTime: number };
  readonly acceleration: Acceleration;
  readonly nics: readonly VmNic[];
  readonly timeline: readonly LaunchStep[];
  readonly exited: Promise<VmmExit>;
  private readonly options: QemuVmOptions;
  private readonly told: VmEvents;
  private readonly agent: AgentPort;
  private readonly console: ConsoleTail;
  private readonly images: ImageDisks;
  /** Ids of the disks that it may have. */
  private readonly disks: Set<string>;
  private ending = false;
  private killing: Promise<void> | undefined;
  private lastWords: string | undefined;

  constructor(options: QemuVmOptions) {
    const { process, qmp, paths, adopted } = options;
    this.options = options;
    this.id = process.id;
    this.identity = process.identity;
    this.acceleration = options.acceleration;
    this.nics = options.nics;
    this.timeline = options.timeline;
    this.console = new ConsoleTail(qmp);
    this.images = new ImageDisks(qmp, options.deadlines, new Map(adopted?.filled));
    this.disks = new Set([TEMPLATE_DISK, ...(adopted?.disks ?? [])]);
    this.agent = new AgentPort(paths.agent, this.id);
    this.told = new VmEvents(process, adopted?.paused);
    this.exited = process.exited.then((exit) => this.onExit(exit));
    qmp.events$.subscribe((event) => this.onQmpEvent(event));
    void qmp.closed.then((reason) => this.onControlLost(reason));
  }

  get events(): Observable<VmmEvent> {
    return this.told.events$;
  }

  connectAgent(signal?: AbortSignal): Promise<ByteLink> {
    return this.alive("connect to the guest's agent", () => this.agent.connect(signal));
  }

  attachDisk(disk: VmDisk): Promise<void> {
    const { qmp, deadlines } = this.options;
    return this.alive("attach a disk", async () => {
      await attachDisk(qmp, disk, deadlines);
      this.disks.add(disk.id);
    });
  }

  detachDisk(id: string): Promise<void> {
    const { qmp, deadlines } = this.options;
    return this.alive("detach a disk", async () => {
      await detachDisk(qmp, id, deadlines);
      this.disks.delete(id);
      this.told.forgetDisk(id);
    });
  }

  attachPort(port: VmPort): Promise<void> {
    const { qmp, deadlines } = this.options;
    return this.alive("attach a port", () => attachPort(qmp, port, deadlines));
  }

  detachPort(name: string): Promise<void> {
    const { qmp, deadlines } = this.options;
    return this.alive("detach a port", () => detachPort(qmp, name, deadlines));
  }

  attachImage(image: VmImage, chosen?: (serial: string) => void): Promise<string> {
    return this.alive("attach an image", () => this.images.attach(image, chosen));
  }

  detachImage(serial: string): Promise<void> {
    return this.alive("detach an image", () => this.images.detach(serial));
  }

  pause(): Promise<void> {
    return this.alive("pause the VM", () => this.command("stop"));
  }

  resume(): Promise<void> {
    return this.alive("resume the VM", () => this.command("cont"));
  }

  /** Runs commands that the port does not know. */
  control<T>(operation: string, work: (qmp: QmpClient) => Promise<T>): Promise<T> {
    return this.alive(operation, () => work(this.options.qmp));
  }

  kill(): Promise<void> {
    this.killing ??= this.killSteps().catch((error: unknown) => {
      this.killing = undefined;
      throw error;
    });
    return this.killing;
  }

  async vitals(): Promise<VmVitals> {
    const [stat, console] = await Promise.all([processStat(this.identity.pid), this.console.read()]);
    return { cpuMs: stat?.cpuMs ?? 0, spoke: console !== "" };
  }

  async diagnostics(): Promise<string> {
    if (this.lastWords !== undefined) return this.lastWords;
    const [console, log] = await Promise.all([this.console.read(), logTail(this.options.paths.log)]);
    return [section("the guest's console", console), section("QEMU", log)].filter(Boolean).join("\n");
  }

  async readLog(log: "vmm" | "console"): Promise<LogEnd> {
    return log === "console" ? await this.console.end() : await logEnd(this.options.paths.log, LOG_BYTES);
  }

  private async killSteps(): Promise<void> {
    this.ending = true;
    const { process, qmp, paths, deadlines } = this.options;
    await process.kill(deadlines.exitMs);
    this.lastWords ??= await this.diagnostics();
    qmp.close();
    this.agent.close();
    await removeVmFiles(paths);
  }

  private async command(command: string): Promise<void> {
    await this.options.qmp.execute(command, undefined, this.options.deadlines.commandMs);
  }

  /** Runs what needs a living QEMU; what fails because QEMU has ended says so. */
  private async alive<T>(operation: string, work: () => Promise<T>): Promise<T> {
    const { process } = this.options;
    if (process.exit !== undefined) throw this.gone(operation, process.exit);
    try {
      return await work();
    } catch (error) {
      const exit = connectionLost(error) ? await process.exitWithin(EXIT_GRACE_MS) : undefined;
      throw exit === undefined ? error : this.gone(operation, exit, error);
    }
  }

  private gone(operation: string, exit: VmmExit, cause?: unknown): BlazarError {
    const reason = `QEMU has ended (${endOf(exit)})`;
    return blazarError("VmmExited", operation, reason, { subject: this.id, cause });
  }

  private onExit(exit: VmmExit): VmmExit {
    this.ending = true;
    this.agent.close();
    this.told.exited(exit);
    return exit;
  }

  private onQmpEvent({ event, data }: QmpEvent): void {
    if (this.ending) return;
    if (event === "STOP") return this.told.setPaused(true);
    if (event === "RESUME") return this.told.setPaused(false);
    if (event === "BLOCK_IO_ERROR") return this.onDiskError(data);
    if (event === "GUEST_PANICKED") void this.guestEnded("guest-panic");
    if (event === "SHUTDOWN" && data["guest"] === true) void this.guestEnded(String(data["reason"]));
  }

  private onDiskError(data: QmpEvent["data"]): void {
    const failure = diskFailure(data, this.disks);
    if (failure !== undefined) this.told.diskFailed(failure);
  }

  private async guestEnded(reason: string): Promise<void> {
    this.ending = true;
    this.lastWords = await this.diagnostics();
    const panicked = reason === "guest-panic" || showsPanic(this.lastWords);
    this.told.guestEnded(panicked ? { type: "vmm.guestPanicked" } : { type: "vmm.guestShutdown", reason });
    await this.command("quit").catch(() => undefined);
    await this.killUnlessGone("QEMU does not quit after its guest has ended");
  }

  private async onControlLost(reason: BlazarError): Promise<void> {
    if (this.ending) return;
    await this.killUnlessGone(reason.message);
  }

  private async killUnlessGone(why: string): Promise<void> {
    const { process, deadlines, logger } = this.options;
    if ((await process.exitWithin(EXIT_GRACE_MS)) !== undefined || this.killing !== undefined) return;
    logger.error({ vm: this.id, pid: this.identity.pid, why }, "killing a QEMU that cannot be controlled");
    await process
      .kill(deadlines.exitMs)
      .catch((err: unknown) => logger.error({ vm: this.id, err }, "a QEMU cannot be killed"));
  }
}

function section(title: string, text: string): string {
  return text === "" ? "" : `${title}:\n${text}`;
}

function connectionLost(error: unknown): boolean {
  if (!(error instanceof BlazarError)) return false;
  return error.code === "LinkClosed" || (error.code === "QmpFailed" && qmpRefusal(error) === undefined);
}
