/**
 * Files of an image: reading them, writing beside them, starting programs out of them, under blazar and under runc.
 *
 * Each piece of work has a new pod for each variant in each round, in an order shuffled by the seed: `first` is its first
 * run there, `again` its second. The guest's caches are empty at `first`. The host's page cache has the image, for every
 * variant alike. blazar with images and blazar with the share are two nodes, so that nothing is restarted in between.
 */

import { execText } from "../../lab/cri/commands.ts";
import { type BlazarError, blazarError, reasonOf } from "../../src/contracts/errors.ts";
import {
  COMPUTING,
  FIND_FILES,
  type ImageFiles,
  readImageFiles,
  readTime,
  timed,
  WORK,
  type Work,
} from "../files/work.ts";
import { type GivenImage, givenImage, putInto } from "../image/given-image.ts";
import { BenchNode } from "../node/bench-node.ts";
import { type FileVariant, fileNodes } from "../node/file-nodes.ts";
import { podFacts, type StartedPod, startPod } from "../node/pod.ts";
import { untilTemplateIsBuilt } from "../node/pool.ts";
import type { FileSample, FilesResults } from "../output/results.ts";
import { shuffled } from "../stats/random.ts";
import type { SuiteContext } from "./context.ts";

const SUITE = "files";
/** Seconds for one command. `find` over the share in an emulated guest takes about one minute. */
const EXEC_TIMEOUT = 300;
/** The container's clock and this process's may differ by so much: the guest's clock is set, not shared. */
const CLOCKS_DIFFER_MS = 20;
const SHELLS = ["bash", "sh"];

export async function runFiles(context: SuiteContext): Promise<FilesResults> {
  const { artifacts, progress } = context;
  const image = await givenImage(context.image, artifacts.cache, progress);
  const started: BenchNode[] = [];
  try {
    const variants: FileVariant[] = [];
    for (const { config, variants: ofNode } of fileNodes(context)) {
      progress.line(`${SUITE}: starting a node for ${ofNode.map(({ name }) => name).join(", ")}`);
      const node = await BenchNode.start({ artifacts, config, containerdConfig: context.containerdConfig });
      started.push(node);
      progress.line(`${SUITE}: importing ${image.name}`);
      await putInto(node, image);
      variants.push(...ofNode.map((variant) => ({ ...variant, node })));
    }
    return await new Files(image, context).run(variants);
  } finally {
    for (const node of started) await node.stop();
  }
}

/** A pod whose container is ready for work. */
interface Ready {
  readonly pod: StartedPod;
  readonly shell: string;
}

class Files {
  private readonly samples: FileSample[] = [];
  /** Variant and work that have failed once: not tried again. */
  private readonly failed = new Set<string>();
  private shell = SHELLS[0] ?? "sh";

  constructor(
    private readonly image: GivenImage,
    private readonly context: SuiteContext,
  ) {}

  async run(variants: readonly FileVariant[]): Promise<FilesResults> {
    const { runs, random, progress, signal } = this.context;
    const { files, names } = await this.lookAt(variants);
    const present = await this.warmUp(variants);
    const total = runs * WORK.length * present.length;
    let done = 0;
    for (let round = 1; round <= runs; round++) {
      for (const work of shuffled(WORK, random)) {
        for (const variant of shuffled(present, random)) {
          signal.throwIfAborted();
          const news = await this.attempt(variant, work, files, round);
          progress.at(SUITE, ++done, total, `${variant.name}, ${work.name}: ${news}`);
        }
      }
    }
    const { name } = this.image;
    return {
      image: { name, names },
      work: WORK.map((work) => ({ name: work.name, what: work.what })),
      samples: this.samples,
    };
  }

  /** The image's files, as a pod of the variant that is quickest at it sees them. */
  private async lookAt(variants: readonly FileVariant[]): Promise<{ files: ImageFiles; names: number }> {
    const variant = variants.at(-1);
    if (variant === undefined) throw nothingToMeasure("there is no handler");
    const { pod, shell } = await this.start(variant);
    this.shell = shell;
    try {
      const found = await this.exec(variant, pod, `${FIND_FILES}; find / -xdev | wc -l`);
      const names = Number(found.trim().split("\n").at(-1));
      const files = readImageFiles(found, (paths) => shuffled(paths, this.context.random));
      if (files === undefined) throw nothingToMeasure("it has fewer than 2,000 small files, or no big one");
      return { files, names };
    } finally {
      await variant.node.removePod(pod.id);
    }
  }

  /** Runs a pod of each, uncounted, until it is started as it will be measured. */
  private async warmUp(variants: readonly FileVariant[]): Promise<FileVariant[]> {
    const { absent, learned, progress, signal } = this.context;
    const present: FileVariant[] = [];
    for (const variant of variants) {
      try {
        const facts = await untilTemplateIsBuilt(variant.node, variant.variant, signal);
        learned.acceleration = facts?.acceleration ?? learned.acceleration;
        await variant.warmUp?.(variant.node, this.image.name, signal);
        present.push(variant);
      } catch (error) {
        if (signal.aborted) throw error;
        absent.push({ what: `${SUITE}: ${variant.name}`, why: reasonOf(error) });
        progress.line(`${SUITE}: ${variant.name} is absent: ${reasonOf(error)}`);
      }
    }
    return present;
  }

  /** Measures; returns the news. What fails once is absent, with the reason. */
  private async attempt(variant: FileVariant, work: Work, files: ImageFiles, round: number): Promise<string> {
    const key = `${variant.name}, ${work.name}`;
    if (this.failed.has(key)) return "absent";
    try {
      const [first, again] = await this.measure(variant, work, files, round);
      this.samples.push(first, again);
      return `${first.ms.toFixed(0)} and ${again.ms.toFixed(0)} ms`;
    } catch (error) {
      if (this.context.signal.aborted) throw error;
      this.failed.add(key);
      this.context.absent.push({ what: `${SUITE}: ${key}`, why: reasonOf(error) });
      return `failed: ${reasonOf(error)}`;
    }
  }

  private async measure(
    variant: FileVariant,
    work: Work,
    files: ImageFiles,
    round: number,
  ): Promise<readonly [FileSample, FileSample]> {
    const { pod } = await this.start(variant);
    try {
      await variant.check?.(variant.node, pod);
      if (work.needs !== undefined) await this.exec(variant, pod, `command -v ${work.needs}`);
      for (const command of work.prepare?.(files) ?? []) await this.exec(variant, pod, command);
      // the shell itself has been read once, whatever the work's preparation was
      await this.time(variant, pod, ":");
      const { ms: computingMs } = await this.time(variant, pod, COMPUTING.run);
      const about = { variant: variant.name, round, work: work.name, computingMs };
      const first = await this.time(variant, pod, work.run(files, 1));
      const again = await this.time(variant, pod, work.run(files, 2));
      return [
        { ...about, phase: "first", ...first },
        { ...about, phase: "again", ...again },
      ];
    } finally {
      await variant.node.removePod(pod.id);
    }
  }

  private async start(variant: FileVariant): Promise<Ready> {
    const pod = await startPod(variant.node, variant.variant, this.image.name);
    await podFacts(variant.node, variant.variant, pod);
    for (const shell of SHELLS) {
      const has = await execText(variant.node.cri, pod.containerId, [shell, "-c", ":"]).catch(
        () => undefined,
      );
      if (has?.code === 0) return { pod, shell };
    }
    await variant.node.removePod(pod.id);
    throw nothingToMeasure("it has no shell");
  }

  private async time(
    variant: FileVariant,
    pod: StartedPod,
    work: string,
  ): Promise<{ readonly ms: number; readonly callMs: number }> {
    const begin = performance.now();
    const printed = await this.exec(variant, pod, timed(work));
    const callMs = performance.now() - begin;
    const ms = readTime(printed);
    if (ms === undefined) throw notCounted(work, `it printed: ${printed.trim()}`);
    if (ms > callMs + CLOCKS_DIFFER_MS) throw notCounted(work, "the container's clock is wrong");
    return { ms, callMs };
  }

  /** Returns what the command has printed. Throws if it fails. */
  private async exec({ node }: FileVariant, pod: StartedPod, text: string): Promise<string> {
    const words = [this.shell, "-c", text];
    const { code, stdout, stderr } = await execText(node.cri, pod.containerId, words, EXEC_TIMEOUT);
    if (code !== 0) throw notCounted(text.slice(0, 60), `status ${code}: ${stderr.trim()}`);
    return stdout;
  }
}

function notCounted(subject: string, reason: string): BlazarError {
  return blazarError("Internal", "measure a command in a container", reason, { subject });
}

function nothingToMeasure(reason: string): BlazarError {
  return blazarError("InvalidArgument", "measure files of the image", reason, {
    remedy: "give another image by --image, or none",
  });
}
