/**
 * How long a daemon is away: pods run, the daemon gets SIGKILL, later SIGTERM, and each time another one starts.
 *
 * The clock is this process's. The Controller counts as there when it answers Status of one of the pods. A pod runs on if CRI says
 * so of it and of its container, its VMM is the same process, and a command runs in it.
 */
import { cp } from "node:fs/promises";
import { join } from "node:path";
import { Client, credentials } from "@grpc/grpc-js";
import { interruptible } from "../../lab/host/interruption.ts";
import { until } from "../../lab/host/until.ts";
import { buildDist } from "../../setup/lib/dist.ts";
import { repoRoot } from "../../setup/lib/paths.ts";
import { ensureArtifacts } from "../../setup/steps/artifacts.ts";
import { blazarError } from "../../src/contracts/errors.ts";
import { pause } from "../../src/lib/async.ts";
import { ControllerService } from "../../src/rpc/generated/containerd/services/sandbox/v1/controller.ts";
import { ContainerState, PodSandboxState } from "../../src/rpc/generated/runtime/v1/cri.ts";
import { callUnary } from "../../src/rpc/grpc/unary.ts";
import { InspectionClient } from "../../src/rpc/inspection/client.ts";
import { BenchNode } from "../node/bench-node.ts";
import { memoryOfAll, memoryOfOnlyNode } from "../node/memory.ts";
import { type StartedPod, startPod } from "../node/pod.ts";
import { poolConfig, untilTemplateIsBuilt } from "../node/pool.ts";
import { BLAZAR, handlerVariant } from "../node/variants.ts";
import { Progress } from "../output/progress.ts";
import { IDLE_MS } from "../suites/memory.ts";

/** How the daemon ends. */
type End = "SIGKILL" | "SIGTERM";

interface NodeMemory {
  readonly daemonPss: number;
  readonly keeperPss: number;
}

/** One end and what came after it; milliseconds and bytes. */
interface Restart {
  readonly end: End;
  /** From the signal until the next daemon has answered Status. */
  readonly awayMs: number;
  /** The part of it until the process was gone. */
  readonly endMs: number;
  /** From the signal until every pod that is left is adopted. */
  readonly adoptedMs: number;
  readonly podsRunning: number;
  readonly before: NodeMemory;
  readonly after: NodeMemory;
}

export interface RestartOptions {
  readonly pods: number;
  readonly json: boolean;
}

const KEPT_LOG = join(repoRoot(), "dist", "restart.log");
const POLL_MS = 2;
const CALL_MS = 1_000;
const PATIENCE = { timeoutMs: 120_000, pollMs: 10 };
const EXECS_AT_ONCE = 4;
const STARTS_AT_ONCE = 4;
const ENDS: readonly End[] = ["SIGKILL", "SIGTERM"];

/** Prints figures; the exit code is 0 only if no pod was lost. */
export async function measureRestart(options: RestartOptions): Promise<number> {
  const artifacts = await ensureArtifacts();
  process.env["BLAZAR_CACHE"] = artifacts.cache;
  await buildDist({
    line: (text) => void process.stderr.write(`${text}\n`),
    during: (_name, _why, body) => body(),
  });
  const progress = new Progress();
  return interruptible("measure restarts", async (signal) => {
    const node = await BenchNode.start({ artifacts, config: poolConfig(0) });
    try {
      const pods = await startPods(node, options.pods, progress, signal);
      const restarts: Restart[] = [];
      for (const end of ENDS) {
        signal.throwIfAborted();
        progress.line(`${end}: waiting until the daemon is idle`);
        restarts.push(await measure(node, pods, end, signal));
      }
      print(options, restarts);
      if (restarts.every(({ podsRunning }) => podsRunning === options.pods)) return 0;
      await cp(node.blazardLog, KEPT_LOG);
      progress.line(`a pod is lost: the daemon's log is kept in ${KEPT_LOG}`);
      return 1;
    } finally {
      await node.stop();
    }
  });
}

async function startPods(
  node: BenchNode,
  count: number,
  progress: Progress,
  signal: AbortSignal,
): Promise<StartedPod[]> {
  const variant = handlerVariant(BLAZAR);
  await untilTemplateIsBuilt(node, variant, signal);
  const pods: StartedPod[] = [];
  let begun = 0;
  const worker = async (): Promise<void> => {
    while (begun++ < count && !signal.aborted) {
      pods.push(await startPod(node, variant));
      progress.at("restart", pods.length, count, "pods");
    }
  };
  await Promise.all(Array.from({ length: STARTS_AT_ONCE }, worker));
  signal.throwIfAborted();
  return pods;
}

async function measure(
  node: BenchNode,
  pods: readonly StartedPod[],
  end: End,
  signal: AbortSignal,
): Promise<Restart> {
  await pause(IDLE_MS, signal);
  const before = await memoryOfNode(node);
  const began = performance.now();
  const since = () => performance.now() - began;
  await node.stopBlazard({ kill: end === "SIGKILL" });
  const endMs = since();
  const answered = untilAnswered(node.controllerSocket, pods[0]?.id ?? "", signal).then(since);
  await node.startBlazard();
  const awayMs = await answered;
  await untilAdopted(node);
  const adoptedMs = since();
  const podsRunning = await countRunning(node, pods);
  await pause(IDLE_MS, signal);
  return { end, awayMs, endMs, adoptedMs, podsRunning, before, after: await memoryOfNode(node) };
}

/** Asks for a pod's Status, each time on a new connection: a client's pauses between attempts are no part of the figure. */
async function untilAnswered(socket: string, sandboxId: string, signal: AbortSignal): Promise<void> {
  const ask = async (): Promise<true | undefined> => {
    const client = new Client(`unix:${socket}`, credentials.createInsecure());
    try {
      const request = { sandboxId, sandboxer: BLAZAR, verbose: false };
      await callUnary(client, ControllerService.status, request, { timeoutMs: CALL_MS });
      return true;
    } catch (error) {
      // a daemon that does not know the pod has answered
      return (error as { code?: number }).code === NOT_FOUND ? true : undefined;
    } finally {
      client.close();
    }
  };
  await until("an answer of the Controller", ask, { ...PATIENCE, pollMs: POLL_MS, signal });
}

const NOT_FOUND = 5;

/** Until no sandbox is on its way up any more. */
async function untilAdopted(node: BenchNode): Promise<void> {
  const client = new InspectionClient(node.inspectionSocket);
  try {
    const adopted = async () => {
      const sandboxes = await client.list().catch(() => undefined);
      return (
        sandboxes?.every(({ state, endedAt }) => endedAt !== undefined || state !== "adopting") || undefined
      );
    };
    await until("all sandboxes to be adopted", adopted, PATIENCE);
  } finally {
    client.close();
  }
}

async function countRunning(node: BenchNode, pods: readonly StartedPod[]): Promise<number> {
  const { cri } = node;
  const ready = new Set(
    (await cri.listPodSandboxes())
      .filter(({ state }) => state === PodSandboxState.SANDBOX_READY)
      .map(({ id }) => id),
  );
  const running = new Set(
    (await cri.listContainers())
      .filter(({ state }) => state === ContainerState.CONTAINER_RUNNING)
      .map(({ id }) => id),
  );
  let count = 0;
  const queue = pods.filter(({ id, containerId }) => ready.has(id) && running.has(containerId));
  const worker = async (): Promise<void> => {
    for (let pod = queue.pop(); pod !== undefined; pod = queue.pop()) {
      const { exitCode } = await cri.execSync(pod.containerId, ["true"]).catch(() => ({ exitCode: -1 }));
      if (exitCode === 0) count++;
    }
  };
  await Promise.all(Array.from({ length: EXECS_AT_ONCE }, worker));
  return count;
}

async function memoryOfNode(node: BenchNode): Promise<NodeMemory> {
  const { daemon, keeper } = await node.processes();
  const memory = await memoryOfOnlyNode(daemon);
  if (memory === null) throw blazarError("ProcessNotFound", "read the daemon's memory", "it is gone");
  return { daemonPss: memory.pss, keeperPss: (await memoryOfAll([keeper])).pss };
}

function print({ pods, json }: RestartOptions, restarts: readonly Restart[]): void {
  if (json) {
    const rounded = restarts.map((each) => ({
      ...each,
      awayMs: Math.round(each.awayMs),
      endMs: Math.round(each.endMs),
      adoptedMs: Math.round(each.adoptedMs),
    }));
    process.stdout.write(`${JSON.stringify({ command: "restart", pods, restarts: rounded })}\n`);
    return;
  }
  const line = (...columns: readonly string[]) =>
    process.stdout.write(
      `${columns
        .map((column) => column.padEnd(16))
        .join("")
        .trimEnd()}\n`,
    );
  const ms = (value: number) => `${value.toFixed(0)} ms`;
  const mb = (from: number, to: number) => `${(from / 1e6).toFixed(1)} → ${(to / 1e6).toFixed(1)}`;
  line("end", "away", "of it ending", "all adopted", "pods that run", "daemon MB", "keeper MB");
  for (const { end, awayMs, endMs, adoptedMs, podsRunning, before, after } of restarts) {
    const memory = [mb(before.daemonPss, after.daemonPss), mb(before.keeperPss, after.keeperPss)];
    line(end, ms(awayMs), ms(endMs), ms(adoptedMs), `${podsRunning} of ${pods}`, ...memory);
  }
}
