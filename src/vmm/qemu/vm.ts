/**
 * A running QEMU as a {@link Vm}: its QMP connection, its agent's port, its disks and its end.
 *
 * QMP events become VmmEvents. A guest that ends is held by QEMU (`-action shutdown=pause`) until its console has
 * been read, so that a kernel panic leaves its text; then QEMU is told to quit. A QEMU whose control connection
 * breaks is of no use and is killed. Nothing here decides what becomes of a sandbox.
 */
import { Observable, Subject } from "rxjs";
import { BlazarError, blazarError } from "../../contracts/errors.ts";
import type { Logger } from "../../contracts/logger.ts";
import type { Acceleration, ByteLink, Vm, VmDisk, VmmEvent } from "../../contracts/vm.ts";
import { connectUnix } from "../../lib/unix-socket.ts";
import { AgentLink } from "../common/agent-link.ts";
import type { RunningProcess, VmmExit } from "../common/running-process.ts";
import { ConsoleTail, logTail, showsPanic } from "./console.ts";
import { attachDisk, type DiskDeadlines, detachDisk } from "./disks.ts";
import { removeVmFiles, type VmPaths } from "./paths.ts";
import { type QmpClient, type QmpEvent, qmpRefusal } from "./qmp/client.ts";

/** How long a QEMU whose control connection has ended may take to end, too. */
const EXIT_GRACE_MS = 2000;

export interface VmDeadlines extends DiskDeadlines {
  /** From SIGKILL until QEMU is reaped. */
  readonly exitMs: number;
}

export interface QemuVmOptions {
  readonly process: RunningProcess;
  readonly qmp: QmpClient;
  readonly paths: VmPaths;
  readonly acceleration: Acceleration;
  readonly timeline: readonly { readonly step: string; readonly ms: number }[];
  readonly deadlines: VmDeadlines;
  readonly logger: Logger;
}

export class QemuVm implements Vm {
  readonly id: string;
  readonly identity: { readonly pid: number; readonly startTime: number };
  readonly acceleration: Acceleration;
  readonly timeline: readonly { readonly step: string; readonly ms: number }[];
  readonly exited: Promise<VmmExit>;
  readonly events: Observable<VmmEvent>;
  private readonly options: QemuVmOptions;
  private readonly live = new Subject<VmmEvent>();
  private readonly console: ConsoleTail;
  private agentTaken = false;
  private link: ByteLink | undefined;
  private paused = false;
  private ending = false;
  private killing: Promise<void> | undefined;
  private lastWords: string | undefined;

  constructor(options: QemuVmOptions) {
    const { process, qmp } = options;
    this.options = options;
    this.id = process.id;
    this.identity = process.identity;
    this.acceleration = options.acceleration;
    this.timeline = options.timeline;
    this.console = new ConsoleTail(qmp);
    this.events = new Observable((subscriber) => {
      if (process.exit === undefined) return this.live.subscribe(subscriber);
      subscriber.next({ type: "vmm.exited", ...process.exit });
      subscriber.complete();
      return undefined;
    });
    this.exited = process.exited.then((exit) => this.onExit(exit));
    qmp.events$.subscribe((event) => this.onQmpEvent(event));
    void qmp.closed.then((reason) => this.onControlLost(reason));
  }

  async connectAgent(signal?: AbortSignal): Promise<ByteLink> {
    if (this.agentTaken) {
      throw blazarError(
        "IllegalTransition",
        "connect to the guest's agent",
        "its port is in use, and takes one connection at a time",
        { subject: this.id },
      );
    }
    this.agentTaken = true;
    try {
      const socket = await this.alive("connect to the guest's agent", () =>
        connectUnix(this.options.paths.agent, signal),
      );
      const link = new AgentLink(socket, () => {
        this.link = undefined;
        this.agentTaken = false;
      });
      this.link = link;
      return link;
    } catch (error) {
      this.agentTaken = false;
      throw error;
    }
  }

  attachDisk(disk: VmDisk): Promise<void> {
    const { qmp, deadlines } = this.options;
    return this.alive("attach a disk", () => attachDisk(qmp, disk, deadlines));
  }

  detachDisk(id: string): Promise<void> {
    const { qmp, deadlines } = this.options;
    return this.alive("detach a disk", () => detachDisk(qmp, id, deadlines));
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

  async diagnostics(): Promise<string> {
    if (this.lastWords !== undefined) return this.lastWords;
    const [console, log] = await Promise.all([this.console.read(), logTail(this.options.paths.log)]);
    return [section("the guest's console", console), section("QEMU", log)].filter(Boolean).join("\n");
  }

  private async killSteps(): Promise<void> {
    this.ending = true;
    const { process, qmp, paths, deadlines } = this.options;
    await process.kill(deadlines.exitMs);
    this.lastWords ??= await this.diagnostics();
    qmp.close();
    this.link?.close();
    await removeVmFiles(paths);
  }

  private async command(command: string): Promise<void> {
    await this.options.qmp.execute(command, undefined, this.options.deadlines.commandMs);
  }

  /** Runs what needs a living QEMU; what fails because it has ended says so. */
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
    const how = exit.signal > 0 ? `signal ${exit.signal}` : `status ${exit.code}`;
    return blazarError("VmmExited", operation, `QEMU has ended (${how})`, { subject: this.id, cause });
  }

  private onExit(exit: VmmExit): VmmExit {
    this.ending = true;
    this.link?.close();
    this.live.next({ type: "vmm.exited", ...exit });
    this.live.complete();
    return exit;
  }

  private onQmpEvent({ event, data }: QmpEvent): void {
    if (this.ending) return;
    if (event === "STOP") return this.setPaused(true);
    if (event === "RESUME") return this.setPaused(false);
    if (event === "GUEST_PANICKED") void this.guestEnded("guest-panic");
    if (event === "SHUTDOWN" && data["guest"] === true) void this.guestEnded(String(data["reason"]));
  }

  private setPaused(paused: boolean): void {
    if (this.paused === paused) return;
    this.paused = paused;
    this.live.next({ type: paused ? "vmm.paused" : "vmm.resumed" });
  }

  private async guestEnded(reason: string): Promise<void> {
    this.ending = true;
    this.lastWords = await this.diagnostics();
    const panicked = reason === "guest-panic" || showsPanic(this.lastWords);
    this.live.next(panicked ? { type: "vmm.guestPanicked" } : { type: "vmm.guestShutdown", reason });
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
      .catch((err: unknown) => logger.error({ vm: this.id, err }, "kill failed"));
  }
}

function section(title: string, text: string): string {
  return text === "" ? "" : `${title}:\n${text}`;
}

function connectionLost(error: unknown): boolean {
  if (!(error instanceof BlazarError)) return false;
  return error.code === "LinkClosed" || (error.code === "QmpFailed" && qmpRefusal(error) === undefined);
}
