/**
 * `npm run test:chaos`: pods of a real containerd, while daemon, keeper, VMs and containerd are killed; nothing may be lost.
 *
 * Steps come from the model test's generator, by a seed. When two runs of one seed differ, it is in what the machine did meanwhile.
 */
import { cp, mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import fc from "fast-check";
import { seeded } from "../../bench/stats/random.ts";
import { repoRoot } from "../../setup/lib/paths.ts";
import type { Artifacts } from "../../setup/steps/artifacts.ts";
import { blazarError } from "../../src/contracts/errors.ts";
import { abortable, onAbort } from "../../src/lib/async.ts";
import { step } from "../../test/model/steps.ts";
import { interruptible } from "../host/interruption.ts";
import { runToEnd } from "../host/program.ts";
import { busyboxImage } from "../images/busybox.ts";
import { nodeLeftovers } from "../node/leftovers.ts";
import { PrivateNode } from "../node/private-node.ts";
import { audit, auditKeeper } from "./audit.ts";
import { Calls } from "./calls.ts";
import { type ChaosContext, ChaosPod } from "./chaos-pod.ts";
import { Killer } from "./killer.ts";
import { consultDoctor, findLeaks, holdingsOf } from "./leaks.ts";
import { Outages } from "./outages.ts";
import { ChaosRecord, type Kill } from "./record.ts";
import { Worker } from "./worker.ts";

export interface ChaosOptions {
  readonly built: Artifacts;
  /** The bundled product. */
  readonly program: string;
  readonly minutes: number;
  readonly seed: number;
  /** What is killed. */
  readonly kills: ReadonlySet<Kill>;
  readonly onEvent: (line: string) => void;
}

export interface ChaosOutcome {
  readonly record: ChaosRecord;
  readonly seed: number;
  readonly seconds: number;
  /** Where logs and the last events are; undefined: nothing was wrong. */
  readonly kept: string | undefined;
}

const IMAGE = "localhost/blazar/chaos:latest";
/** Each has two pods. */
const WORKERS = ["a", "b"] as const;
/** More than are ever taken. */
const STEPS = 20_000;
const MINUTE_MS = 60_000;

export function runChaos(options: ChaosOptions): Promise<ChaosOutcome> {
  return interruptible("run chaos", (signal) => new Chaos(options).run(signal));
}

class Chaos {
  private readonly record: ChaosRecord;
  private readonly outages = new Outages();
  private readonly ids: string[] = [];
  private readonly began = performance.now();
  /** Aborted when a process of the node has not come back. */
  private readonly broken = new AbortController();
  private workers: readonly Worker[] = [];

  constructor(private readonly options: ChaosOptions) {
    this.record = new ChaosRecord(options.onEvent);
  }

  async run(signal: AbortSignal): Promise<ChaosOutcome> {
    const { record } = this;
    const node = await this.startNode();
    let kept: string | undefined;
    try {
      await this.play(node, signal);
    } catch (error) {
      record.found(
        "wrong",
        `the run itself has failed: ${error instanceof Error ? error.stack : String(error)}`,
      );
    } finally {
      if (record.findings.length > 0) kept = await this.keep(node);
      await node.stop();
    }
    for (const { kind, what } of await nodeLeftovers(node.directory))
      record.found("leaked", `after the node's end: ${kind} ${what}`);
    const { seed } = this.options;
    return { record, seed, seconds: Math.round((performance.now() - this.began) / 1000), kept };
  }

  private async startNode(): Promise<PrivateNode> {
    const { built, program } = this.options;
    if (built.containerd === null)
      throw blazarError("DependencyMissing", "run chaos", "set-up has no containerd");
    const node = await PrivateNode.start({
      program,
      containerd: built.containerd.bin,
      prefix: "blazar-chaos-",
      stateInMemory: true,
      config: { template: { enabled: true }, pool: { min: 0, max: 1 } },
    });
    await node.containerd.importImage(await busyboxImage(IMAGE, built.busybox));
    return node;
  }

  private async play(node: PrivateNode, signal: AbortSignal): Promise<void> {
    const { record, ids, options } = this;
    const { cri, directory } = node;
    const calls = new Calls(record, this.outages, (call, pod) => this.explain(node, call, pod));
    const context: ChaosContext = { cri, calls, record, image: IMAGE, directory, ids };
    await this.warmUp(context);
    const before = await holdingsOf(node);
    const killer = this.killerOf(node);
    this.workers = WORKERS.map((name) => new Worker(name, context, killer));
    const { broken } = this;
    const time = new AbortController();
    const end = () => time.abort();
    const timer = setTimeout(end, options.minutes * MINUTE_MS);
    for (const sooner of [signal, broken.signal]) onAbort(sooner, end);
    const followed = this.workers.map((worker, index) => {
      const steps = fc.sample(step, { seed: options.seed + index, numRuns: STEPS });
      return worker.follow(steps, time.signal);
    });
    await abortable(Promise.all(followed), broken.signal, { operation: "go on" });
    clearTimeout(timer);
    signal.throwIfAborted();
    await killer.settled();
    record.event("the time is over: all pods are removed");
    const removed = Promise.all(this.workers.map((worker) => worker.removeAll()));
    await abortable(removed, broken.signal, { operation: "remove all pods" });
    await findLeaks(node, ids, before, record);
    await consultDoctor(node, options.program, record);
  }

  /** The template is built, and the code of the daemon has run once. */
  private async warmUp(context: ChaosContext): Promise<void> {
    const pod = new ChaosPod(context, "warm-up");
    if (!(await pod.run())) return;
    await pod.startContainer("counter");
    await pod.remove();
  }

  private killerOf(node: PrivateNode): Killer {
    const { record, outages, options } = this;
    const pods = () => this.workers.flatMap((worker) => [...worker.pods.values()]);
    const containers = () => pods().flatMap((pod) => [...pod.containers.values()]);
    return new Killer({
      ...{ node, record, outages, random: seeded(options.seed), enabled: options.kills },
      onBroken: () => this.broken.abort(),
      onShared: (kill) => {
        for (const container of containers()) container.suffers(kill);
      },
      audit: async (after) => {
        await audit(node.cri, pods, record, after);
        if (after === "keeper")
          await auditKeeper(
            node.cri,
            containers().filter(({ causes }) => causes.has("keeper")),
            record,
          );
      },
    });
  }

  /** What the daemon says of a pod whose call hangs. */
  private async explain(node: PrivateNode, call: string, pod: string | undefined): Promise<void> {
    if (pod === undefined) return;
    const words = ["why", pod, "--address", node.inspectionSocket];
    const { stdout, stderr } = await runToEnd([process.execPath, this.options.program, ...words]);
    this.record.event(`why ${pod} (${call}): ${stdout}${stderr}`);
  }

  /** Keeps what is needed to understand: events, findings, logs, journals. */
  private async keep(node: PrivateNode): Promise<string> {
    const { record, options } = this;
    const place = join(repoRoot(), "dist", "chaos", String(options.seed));
    await rm(place, { recursive: true, force: true });
    await mkdir(place, { recursive: true });
    await writeFile(join(place, "events.log"), `${record.lastEvents.join("\n")}\n`);
    const findings = record.findings.map(
      ({ kind, atMs, text }) => `${(atMs / 1000).toFixed(3)} ${kind}: ${text}\n`,
    );
    await writeFile(join(place, "findings.log"), findings.join(""));
    const copies = [
      [node.blazardLog, "blazard.log"],
      [node.containerd.logFile, "containerd.log"],
      [join(node.stateDirectory, "keeper.log"), "keeper.log"],
      [join(node.stateDirectory, "journals"), "journals"],
      [join(node.directory, "logs"), "logs"],
    ] as const;
    for (const [from, to] of copies)
      await cp(from, join(place, to), { recursive: true }).catch(() => undefined);
    return place;
  }
}
