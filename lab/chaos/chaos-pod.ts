/**
 * A pod of chaos: its calls, what is believed of it, and what its containers and execs must have written in the end.
 *
 * A call that fails as it may leaves the belief to what CRI says. All calls of a pod come one after the other, but for execs, which
 * go on beside them.
 */
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { ContainerState } from "../../src/rpc/generated/runtime/v1/cri.ts";
import type { CriClient } from "../cri/client.ts";
import { until } from "../host/until.ts";
import { hostNetworkPod } from "../node/pods.ts";
import { BOUNDS } from "./bounds.ts";
import type { Answer, Calls } from "./calls.ts";
import {
  type Cause,
  type ContainerKind,
  checkLog,
  commandOf,
  countingCommand,
  expectedCodes,
} from "./containers.ts";
import type { Victim } from "./killer.ts";
import type { ChaosRecord, Kill } from "./record.ts";
import { checkLines, counted, wholeLines } from "./streams.ts";

export interface ChaosContext {
  readonly cri: CriClient;
  readonly calls: Calls;
  readonly record: ChaosRecord;
  readonly image: string;
  /** Where logs go. */
  readonly directory: string;
  /** Ids of everything that was made, for what is left. */
  readonly ids: string[];
}

/** A container, and what is believed of it. */
export class ChaosContainer {
  started = false;
  /** A call that changes it is under way, or has failed: nothing is expected of its state. */
  unsure = true;
  readonly causes = new Set<Cause>();
  /** Lines that an echo has been given. */
  written = 0;
  readonly execs = new Set<Promise<void>>();

  constructor(
    readonly id: string,
    readonly name: string,
    readonly kind: ContainerKind,
    readonly logFile: string,
  ) {}

  /** The keeper or containerd is killed. containerd may lose what is ending at this moment. */
  suffers(kill: Kill): void {
    if (kill !== "containerd" || this.unsure || this.kind === "burst") this.causes.add(kill);
  }
}

/** Kills after which the output of what ran may be short: whoever had it is dead. */
const LOSING: readonly Cause[] = ["vmm", "hang", "keeper", "term-signal", "kill-signal"];
const EXEC_CODE = 3;
const EXEC_LINES = { slow: 15, quick: 400, input: 500 } as const;
const ECHO_LINES = 40;
const MOST_EXECS = 2;
const POLL_MS = 50;

export class ChaosPod implements Victim {
  id = "";
  readonly containers = new Map<string, ChaosContainer>();
  /** Its VM was killed or halted. */
  lostVm = false;
  /** It is being stopped, or is not there. */
  unsure = true;
  private readonly config: ReturnType<typeof hostNetworkPod>;
  private readonly logs: string;
  private serial = 0;

  constructor(
    private readonly context: ChaosContext,
    readonly name: string,
  ) {
    this.logs = join(context.directory, "logs", name);
    this.config = hostNetworkPod(name, { logDirectory: this.logs });
  }

  get isReady(): boolean {
    return this.id !== "" && !this.unsure && !this.lostVm;
  }

  onKill(kill: Kill): void {
    if (kill === "vmm" || kill === "hang") this.lostVm = true;
    for (const container of this.containers.values()) container.causes.add(kill);
  }

  /** False: it could not be run, and nothing of it is there. */
  async run(): Promise<boolean> {
    const { cri, record, ids } = this.context;
    await mkdir(this.logs, { recursive: true });
    const answer = await this.call("RunPodSandbox", true, BOUNDS.run, () =>
      cri.runPodSandbox(this.config, "blazar"),
    );
    if (answer.ok) {
      this.id = answer.value;
      ids.push(this.id);
      record.pods++;
      this.unsure = false;
      return true;
    }
    await this.removeHalfMade();
    return false;
  }

  async startContainer(kind: ContainerKind): Promise<void> {
    const { cri, image, record, ids } = this.context;
    const name = `${kind}-${++this.serial}`;
    const config = {
      metadata: { name, attempt: 0 },
      image: { image },
      command: commandOf(kind),
      stdin: kind === "echo",
      logPath: `${name}.log`,
    };
    const created = await this.call(`CreateContainer ${name}`, true, BOUNDS.create, () =>
      cri.createContainer(this.id, config, this.config),
    );
    if (!created.ok) return;
    const id = created.value;
    ids.push(id);
    const container = new ChaosContainer(id, name, kind, join(this.logs, `${name}.log`));
    this.containers.set(name, container);
    const started = await this.call(`StartContainer ${name}`, true, BOUNDS.start, () =>
      cri.startContainer(id),
    );
    if (started.ok) {
      record.containers++;
      container.started = true;
      container.unsure = false;
      return;
    }
    // whether it runs is not known: kubelet would make another one
    await this.removeContainer(container, "kill-signal");
  }

  /** A container that runs and that an exec makes sense in. */
  runningContainer(): ChaosContainer | undefined {
    const all = [...this.containers.values()].filter(
      ({ started, unsure, kind }) => started && !unsure && kind !== "burst",
    );
    return all.find(({ execs }) => execs.size < MOST_EXECS);
  }

  /** Starts an exec, which goes on beside other calls. */
  exec(container: ChaosContainer, how: "sync" | "slow" | "input"): void {
    const work = this.runExec(container, how).finally(() => container.execs.delete(work));
    container.execs.add(work);
    this.context.record.execs++;
  }

  private async runExec(container: ChaosContainer, how: "sync" | "slow" | "input"): Promise<void> {
    const { cri, record } = this.context;
    const what = `exec (${how}) in ${this.name}/${container.name}`;
    const output: Buffer[] = [];
    const input = how === "input" ? counted(EXEC_LINES.input) : undefined;
    const count = how === "input" ? EXEC_LINES.input : how === "slow" ? EXEC_LINES.slow : EXEC_LINES.quick;
    const command =
      input === undefined
        ? countingCommand(count, EXEC_CODE, how === "slow")
        : ["sh", "-c", `head -c ${input.length}; exit ${EXEC_CODE}`];
    const work = async () => {
      if (how === "sync") {
        const { stdout, exitCode } = await cri.execSync(container.id, command);
        output.push(Buffer.from(stdout));
        return exitCode;
      }
      const stdout = new PassThrough();
      stdout.on("data", (chunk: Buffer) => output.push(chunk));
      const stdin = input === undefined ? {} : { stdin: new PassThrough() };
      const process = await cri.exec(container.id, command, { stdout, ...stdin });
      if (input !== undefined) await process.write(input);
      return await process.exitCode;
    };
    const mayFail = () => this.isShort(container);
    const answer = await this.context.calls.make({
      ...{ name: what, pod: this.name, asksController: false, boundMs: BOUNDS.exec, mayFail, work },
    });
    const short = !answer.ok || this.isShort(container);
    const lines = wholeLines(Buffer.concat(output).toString());
    record.checked(what, checkLines(lines, short ? { cut: true } : { count }));
    if (answer.ok && answer.value !== EXEC_CODE && !short)
      record.found("wrong", `${what} ended with ${answer.value} instead of ${EXEC_CODE}`);
  }

  /** Writes lines to an echo by attach, and waits until they are in its log. */
  async typeInto(container: ChaosContainer): Promise<void> {
    const { cri } = this.context;
    const from = container.written;
    const given = counted(from + ECHO_LINES).slice(counted(from).length);
    const work = async () => {
      const process = await cri.attach(container.id, { stdin: new PassThrough() });
      try {
        await process.write(given);
        const enough = async () => {
          const { stdout } = await checkLog(container.logFile, container.kind, undefined);
          return stdout.lines >= from + ECHO_LINES || this.isShort(container) ? true : undefined;
        };
        await until("what was typed in the log", enough, { timeoutMs: BOUNDS.exec, pollMs: POLL_MS });
      } finally {
        process.close();
      }
    };
    const mayFail = () => this.isShort(container);
    const answer = await this.call(`attach to ${container.name}`, false, BOUNDS.exec, work, mayFail);
    if (answer.ok) container.written = this.isShort(container) ? from : from + ECHO_LINES;
    // what was on its way through containerd is lost with it
    else await this.removeContainer(container, "kill-signal");
  }

  /** Waits until a counter has counted on. */
  async watch(container: ChaosContainer): Promise<void> {
    const lines = async () => (await checkLog(container.logFile, container.kind, undefined)).stdout.lines;
    const before = await lines();
    const more = async () => ((await lines()) > before || this.isShort(container) ? true : undefined);
    await this.call(`more output of ${container.name}`, false, BOUNDS.output, () =>
      until("a line", more, { timeoutMs: 10 * BOUNDS.output, pollMs: POLL_MS }),
    );
  }

  async status(): Promise<void> {
    const { cri } = this.context;
    await this.call("PodSandboxStatus", true, BOUNDS.ask, () => cri.podSandboxStatus(this.id, true));
  }

  async stats(container: ChaosContainer): Promise<void> {
    const { cri } = this.context;
    const work = () => cri.containerStats(container.id);
    const mayFail = () => this.isShort(container);
    await this.call(`ContainerStats ${container.name}`, true, BOUNDS.ask, work, mayFail);
  }

  /** Stops a container, holds it to what it must have written, and removes it. */
  async removeContainer(container: ChaosContainer, cause: "term-signal" | "kill-signal"): Promise<void> {
    const { cri } = this.context;
    container.unsure = true;
    if (cause === "term-signal") await Promise.allSettled(container.execs);
    container.causes.add(cause);
    const grace = cause === "term-signal" ? BOUNDS.graceSeconds : 0;
    await this.insist(`StopContainer ${container.name}`, grace * 1000 + BOUNDS.stop, () =>
      cri.stopContainer(container.id, grace),
    );
    await this.finish(container);
    await this.insist(`RemoveContainer ${container.name}`, BOUNDS.stop, () =>
      cri.removeContainer(container.id),
    );
    this.containers.delete(container.name);
  }

  async stop(): Promise<void> {
    const { cri } = this.context;
    this.unsure = true;
    for (const container of this.containers.values()) {
      container.unsure = true;
      container.causes.add("kill-signal");
    }
    await this.insist("StopPodSandbox", BOUNDS.stop, () => cri.stopPodSandbox(this.id));
    for (const container of [...this.containers.values()]) {
      await this.finish(container);
      this.containers.delete(container.name);
    }
  }

  async remove(): Promise<void> {
    const { cri } = this.context;
    await this.stop();
    await this.insist("RemovePodSandbox", BOUNDS.stop, () => cri.removePodSandbox(this.id));
    this.id = "";
  }

  /** Holds a container that has ended to its exit code and its output. */
  private async finish(container: ChaosContainer): Promise<void> {
    const { cri, record } = this.context;
    await Promise.allSettled(container.execs);
    if (!container.started) return;
    const what = `${this.name}/${container.name}`;
    const exited = async () => {
      const { status } = await cri.containerStatus(container.id);
      return status?.state === ContainerState.CONTAINER_EXITED ? status : undefined;
    };
    const answer = await this.insist(`end of ${container.name}`, BOUNDS.stop, () =>
      until("its end", exited, { timeoutMs: 10 * BOUNDS.stop, pollMs: POLL_MS }),
    );
    if (!answer?.ok) return;
    const { exitCode } = answer.value;
    const expected = expectedCodes(container.kind, container.causes);
    if (!expected.includes(exitCode))
      record.found(
        "wrong",
        `${what} ended with ${exitCode} after ${[...container.causes].join(", ") || "nothing"}`,
      );
    const logs = await checkLog(container.logFile, container.kind, exitCode, container.causes);
    for (const stream of ["stdout", "stderr"] as const) record.checked(`${what} ${stream}`, logs[stream]);
    if (container.kind === "echo" && logs.stdout.lines < container.written)
      record.found("lost", `${what} has repeated ${logs.stdout.lines} of ${container.written} lines`);
  }

  /** What runs in the container may have been cut. */
  private isShort({ causes }: ChaosContainer): boolean {
    return LOSING.some((cause) => causes.has(cause));
  }

  /** RunPodSandbox has failed: what there is of it is removed. */
  private async removeHalfMade(): Promise<void> {
    const { cri } = this.context;
    const find = async () =>
      (await cri.listPodSandboxes()).filter(({ metadata }) => metadata?.name === this.name);
    const left = await this.insist("ListPodSandbox", BOUNDS.ask, find);
    for (const { id } of left?.ok === true ? left.value : []) {
      this.context.ids.push(id);
      await this.insist("StopPodSandbox (half made)", BOUNDS.stop, () => cri.stopPodSandbox(id));
      await this.insist("RemovePodSandbox (half made)", BOUNDS.stop, () => cri.removePodSandbox(id));
    }
  }

  private call<Result>(
    name: string,
    asksController: boolean,
    boundMs: number,
    work: () => Promise<Result>,
    mayFail?: () => boolean,
  ): Promise<Answer<Result>> {
    return this.context.calls.make({
      ...{ name: `${name} of ${this.name}`, pod: this.name, asksController, boundMs, work },
      ...(mayFail === undefined ? {} : { mayFail }),
    });
  }

  /** Calls as kubelet does: again until it works. */
  private async insist<Result>(
    name: string,
    boundMs: number,
    work: () => Promise<Result>,
  ): Promise<Answer<Result> | undefined> {
    const { calls } = this.context;
    return await calls.insist({
      name: `${name} of ${this.name}`,
      pod: this.name,
      asksController: true,
      boundMs,
      work,
    });
  }
}
