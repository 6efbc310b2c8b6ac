/**
 * Pods one after another: each variant once a round, in a new random order each round.
 *
 * Before each sample of any variant the pool must be full, because its refilling would disturb the sample. Each variant
 * runs once before anything counts. A sample that took another path than asked for does not count.
 */
import { reasonOf } from "../../src/contracts/errors.ts";
import { BenchNode } from "../node/bench-node.ts";
import { podFacts, type StartedPod, startPod } from "../node/pod.ts";
import { poolConfig, untilPoolIsWarm, untilTemplateIsBuilt } from "../node/pool.ts";
import { BLAZAR, bootVariant, type Variant } from "../node/variants.ts";
import type { SeriesSample } from "../output/results.ts";
import { shuffled } from "../stats/random.ts";
import type { SuiteContext } from "./context.ts";

/** Enough that one is there while the next is made. */
const POOL_SIZE = 2;

export async function runSeries(
  suite: string,
  variants: readonly Variant[],
  context: SuiteContext,
): Promise<SeriesSample[]> {
  const { artifacts, containerdConfig, progress } = context;
  const withNetwork = variants.some(({ network }) => network === "cni");
  progress.line(`${suite}: starting a node`);
  // without blazar among the handlers, its idle VMs would only disturb
  const config = poolConfig(context.handlers.includes(BLAZAR) ? POOL_SIZE : 0);
  const node = await BenchNode.start({ artifacts, config, containerdConfig, withNetwork });
  try {
    return await new Series(suite, node, context).run(variants);
  } finally {
    await node.stop();
  }
}

class Series {
  private readonly samples: SeriesSample[] = [];
  /** blazar is among the handlers, so there is a pool to wait for. */
  private readonly blazar: boolean;

  constructor(
    private readonly suite: string,
    private readonly node: BenchNode,
    private readonly context: SuiteContext,
  ) {
    this.blazar = context.handlers.includes(BLAZAR);
  }

  async run(variants: readonly Variant[]): Promise<SeriesSample[]> {
    const { runs, random, progress, signal } = this.context;
    const present = await this.warmUp(variants);
    const total = runs * present.length;
    for (let round = 1; round <= runs; round++) {
      for (const variant of shuffled(present, random)) {
        signal.throwIfAborted();
        const problem = await this.sample(variant, round);
        if (problem !== undefined) progress.line(`${this.suite}: ${variant.name}: not counted: ${problem}`);
        const latest = this.samples.at(-1);
        const done = (round - 1) * present.length + present.indexOf(variant) + 1;
        const news = latest === undefined ? "" : `${latest.variant} ${latest.totalMs.toFixed(0)} ms`;
        progress.at(this.suite, Math.min(done, total), total, news);
      }
    }
    return this.samples;
  }

  /** Runs each variant once, uncounted; those that do not work are absent. */
  private async warmUp(variants: readonly Variant[]): Promise<Variant[]> {
    const present: Variant[] = [];
    if (this.blazar) await untilTemplateIsBuilt(this.node, bootVariant("clone"), this.context.signal);
    for (const variant of variants) {
      this.context.signal.throwIfAborted();
      const problem = await this.sample(variant, 0);
      if (problem === undefined) present.push(variant);
      else this.missing(variant, problem);
    }
    return present;
  }

  private missing(variant: Variant, why: string): void {
    this.context.absent.push({ what: `${this.suite}: ${variant.name}`, why });
    this.context.progress.line(`${this.suite}: ${variant.name} is absent: ${why}`);
  }

  /** One pod; round 0 is not kept. Returns why it does not count. */
  private async sample(variant: Variant, round: number): Promise<string | undefined> {
    let pod: StartedPod | undefined;
    try {
      if (this.blazar) await untilPoolIsWarm(this.node, this.context.signal);
      pod = await startPod(this.node, variant);
      const facts = await podFacts(this.node, variant, pod);
      if (facts !== undefined) this.context.learned.acceleration = facts.acceleration;
      if (variant.boot !== undefined && facts?.boot !== variant.boot)
        return `the daemon took the path "${facts?.boot}"`;
      if (round > 0) {
        const { totalMs, calls } = pod;
        this.samples.push({ variant: variant.name, round, totalMs, calls, steps: facts?.steps ?? [] });
      }
      return undefined;
    } catch (error) {
      return reasonOf(error);
    } finally {
      if (pod !== undefined) await this.node.removePod(pod.id);
    }
  }
}

/** The handlers as they are, blazar's first. */
export function blazarFirst(handlers: readonly string[]): string[] {
  return [...handlers].sort((a, b) => Number(b === BLAZAR) - Number(a === BLAZAR));
}
