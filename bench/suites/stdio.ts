/**
 * Standard streams: how fast output goes, whether it is whole, and what one container's output costs the others.
 *
 * For each handler, in one pod: a container writes to a stdout that containerd drops; an exec's output comes to this process
 * and is compared; then a container writes as much as `--megabytes` while the output of an exec in the next container is
 * read by nobody. Meanwhile commands run in a third container, and in another pod.
 */
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { PassThrough, Writable } from "node:stream";
import { commandWords, execText } from "../../lab/cri/commands.ts";
import { until } from "../../lab/host/until.ts";
import { hostNetworkPod } from "../../lab/node/pods.ts";
import { type BlazarError, blazarError, reasonOf } from "../../src/contracts/errors.ts";
import { ContainerState } from "../../src/rpc/generated/runtime/v1/cri.ts";
import { BenchNode, IMAGE } from "../node/bench-node.ts";
import { memoryOfAll } from "../node/memory.ts";
import { podFacts, type StartedPod, startPod } from "../node/pod.ts";
import { BLAZAR, handlerVariant, type Variant } from "../node/variants.ts";
import type { StdioSample } from "../output/results.ts";
import type { SuiteContext } from "./context.ts";

const SUITE = "stdio";
const MB = 1_000_000;
const BLOCK = 50_000;
/** What the others' writers send; `--quick` sends less. */
const MUCH = 1_000 * MB;
const LESS = 100 * MB;
/** For the rates. */
const SOME = 100 * MB;
/** To an exec's stdin. */
const INPUT = 20 * MB;
const LINES = 500_000;
const BEFORE = 20;
/** USER_HZ is 100 on every Linux. */
const TICK_MS = 10;
const WRITER_TIMEOUT_MS = 600_000;

export async function runStdio(context: SuiteContext): Promise<StdioSample[]> {
  const { absent, artifacts, containerdConfig, handlers, progress, signal } = context;
  const samples: StdioSample[] = [];
  const node = await BenchNode.start({ artifacts, containerdConfig });
  try {
    for (const handler of handlers) {
      signal.throwIfAborted();
      try {
        samples.push(await new Streams(node, handlerVariant(handler), context).measure());
      } catch (error) {
        if (signal.aborted) throw error;
        absent.push({ what: `${SUITE}: ${handler}`, why: reasonOf(error) });
        progress.line(`${SUITE}: ${handler} is absent: ${reasonOf(error)}`);
      }
    }
  } finally {
    await node.stop();
  }
  return samples;
}

class Streams {
  private serial = 0;

  constructor(
    private readonly node: BenchNode,
    private readonly variant: Variant,
    private readonly context: SuiteContext,
  ) {}

  async measure(): Promise<StdioSample> {
    const { context, node, variant } = this;
    const pods = [await startPod(node, variant), await startPod(node, variant)] as const;
    try {
      const [pod, other] = pods;
      const facts = await podFacts(node, variant, pod);
      context.learned.acceleration = facts?.acceleration ?? context.learned.acceleration;
      this.tell("rates");
      const cpuBefore = await this.cpuMs();
      const droppedMs = await this.write(pod, SOME);
      const cpuAfter = await this.cpuMs();
      const exec = await this.received(pod, `dd if=/dev/zero bs=${BLOCK} count=${SOME / BLOCK} 2>/dev/null`);
      this.tell("order");
      const seen = await this.received(pod, `seq 1 ${LINES}`);
      this.tell("input");
      const input = { bytes: INPUT, ms: await this.sent(pod, INPUT) };
      const neighbours = await this.neighbours(pod, other);
      return {
        handler: variant.handler,
        rateBytes: SOME,
        droppedMs,
        cpuMs: {
          managers: cpuAfter.managers - cpuBefore.managers,
          sandboxes: cpuAfter.sandboxes - cpuBefore.sandboxes,
        },
        execMs: exec.ms,
        input,
        order: { bytes: seen.bytes, whole: seen.hash === expectedLines() && exec.bytes === rounded(SOME) },
        ...neighbours,
      };
    } finally {
      for (const { id } of pods) await node.removePod(id);
    }
  }

  private async neighbours(pod: StartedPod, other: StartedPod): Promise<Neighbours> {
    const bytes = this.context.quick ? LESS : MUCH;
    const third = await this.container(pod, ["sleep", "2147483647"]);
    const containers = { samePod: third, otherPod: other.containerId } as const;
    const before = {
      samePod: await this.latencies(third, BEFORE),
      otherPod: await this.latencies(other.containerId, BEFORE),
    };
    const memoryBefore = await this.managers();
    const stalled = await this.stall(pod);
    this.tell(`${bytes / MB} MB beside a reader that has stopped`);
    let peak = memoryBefore;
    let ended = false;
    const writing = this.write(pod, bytes).finally(() => {
      ended = true;
    });
    const during = { samePod: [] as number[], otherPod: [] as number[] };
    while (!ended) {
      this.context.signal.throwIfAborted();
      during.samePod.push(...(await this.latencies(containers.samePod, 1)));
      during.otherPod.push(...(await this.latencies(containers.otherPod, 1)));
      peak = Math.max(peak, await this.managers());
    }
    const writerMs = await writing;
    stalled.abort();
    return { bytes, writerMs, before, during, memoryBefore, memoryPeak: peak };
  }

  /** An exec whose output nobody reads; it writes until the signal aborts. */
  private async stall({ containerId }: StartedPod): Promise<AbortController> {
    const controller = new AbortController();
    const stdout = new Writable({ highWaterMark: 1, write: () => undefined });
    const command = commandWords(`exec dd if=/dev/zero bs=${BLOCK} 2>/dev/null`);
    const remote = await this.node.cri.exec(containerId, command, { stdout, signal: controller.signal });
    remote.exitCode.catch(() => undefined);
    return controller;
  }

  /** A container that writes so many bytes to its stdout and ends; how long it ran. */
  private async write(pod: StartedPod, bytes: number): Promise<number> {
    const { cri } = this.node;
    const id = await this.container(pod, ["dd", "if=/dev/zero", `bs=${BLOCK}`, `count=${bytes / BLOCK}`]);
    const status = await until(
      `the end of ${bytes} bytes`,
      async () => {
        const { status } = await cri.containerStatus(id);
        return status?.state === ContainerState.CONTAINER_EXITED ? status : undefined;
      },
      { timeoutMs: WRITER_TIMEOUT_MS },
    );
    await cri.removeContainer(id);
    if (status.exitCode !== 0) throw notMeasured(`a writer has ended with ${status.exitCode}`);
    return Number(status.finishedAt - status.startedAt) / 1e6;
  }

  private async container(pod: StartedPod, command: readonly string[]): Promise<string> {
    const { cri } = this.node;
    const name = `stdio-${++this.serial}`;
    const config = { metadata: { name, attempt: 0 }, image: { image: IMAGE }, command: [...command] };
    const id = await cri.createContainer(pod.id, config, hostNetworkPod(name));
    await cri.startContainer(id);
    return id;
  }

  /** The output of an exec, as it comes to this process. */
  private async received(
    pod: StartedPod,
    script: string,
  ): Promise<{ ms: number; bytes: number; hash: string }> {
    const hash = createHash("sha256");
    let bytes = 0;
    const stdout = new PassThrough();
    stdout.on("data", (chunk: Buffer) => {
      bytes += chunk.length;
      hash.update(chunk);
    });
    const begin = performance.now();
    const remote = await this.node.cri.exec(pod.containerId, commandWords(script), { stdout });
    await remote.exitCode;
    return { ms: performance.now() - begin, bytes, hash: hash.digest("hex") };
  }

  /** Input of an exec, which counts it. */
  private async sent(pod: StartedPod, bytes: number): Promise<number> {
    let counted = "";
    const stdout = new PassThrough().on("data", (chunk: Buffer) => {
      counted += chunk.toString();
    });
    const block = Buffer.alloc(BLOCK, 1);
    const begin = performance.now();
    const command = commandWords(`head -c ${bytes} | wc -c`);
    const remote = await this.node.cri.exec(pod.containerId, command, { stdin: new PassThrough(), stdout });
    for (let sent = 0; sent < bytes; sent += BLOCK) await remote.write(block);
    const code = await remote.exitCode;
    if (code !== 0 || Number(counted) !== bytes)
      throw notMeasured(`${counted.trim()} of ${bytes} bytes have come`);
    return performance.now() - begin;
  }

  private async latencies(containerId: string, count: number): Promise<number[]> {
    const times: number[] = [];
    for (let each = 0; each < count; each++) {
      const begin = performance.now();
      const { code } = await execText(this.node.cri, containerId, ["true"]);
      if (code !== 0) throw notMeasured(`true has ended with ${code}`);
      times.push(performance.now() - begin);
    }
    return times;
  }

  /** PSS of what manages the pods: daemon and keeper, or the shims. */
  private async managers(): Promise<number> {
    const { daemon, keeper, shims } = await this.node.processes();
    return (await memoryOfAll(this.variant.handler === BLAZAR ? [daemon, keeper] : shims)).pss;
  }

  /** What they have computed so far; on a busy machine that says more than the clock. */
  private async cpuMs(): Promise<StdioSample["cpuMs"]> {
    const { daemon, keeper, shims, shimChildren, vmms } = await this.node.processes();
    const isBlazar = this.variant.handler === BLAZAR;
    const sum = async (pids: readonly number[]) => {
      const times = await Promise.all(pids.map(cpuTimeMs));
      return times.reduce((all, each) => all + each, 0);
    };
    return {
      managers: await sum(isBlazar ? [daemon, keeper] : shims),
      sandboxes: await sum(isBlazar ? vmms : shimChildren),
    };
  }

  private tell(what: string): void {
    this.context.progress.line(`${SUITE} ${this.variant.handler}: ${what}`);
  }
}

type Neighbours = Pick<
  StdioSample,
  "bytes" | "writerMs" | "before" | "during" | "memoryBefore" | "memoryPeak"
>;

/** Of a process, by utime and stime of proc(5). 0 if it is gone. */
async function cpuTimeMs(pid: number): Promise<number> {
  const text = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => "");
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  return text === "" ? 0 : (Number(fields[11]) + Number(fields[12])) * TICK_MS;
}

function rounded(bytes: number): number {
  return Math.floor(bytes / BLOCK) * BLOCK;
}

function expectedLines(): string {
  const hash = createHash("sha256");
  for (let line = 1; line <= LINES; line++) hash.update(`${line}\n`);
  return hash.digest("hex");
}

function notMeasured(reason: string): BlazarError {
  return blazarError("Internal", "measure standard streams", reason);
}
