/**
 * What the page caches cost: pods of one image that have read the same 100 MB file of it, one after the other.
 *
 * For each variant the host's caches are dropped and the pods are started; then each reads the file. Told is what that
 * changed: the host's page cache and free memory, what is cached of each large file on the host, the VMMs' memory, and the
 * page cache inside a guest. Variants come one after the other, on nodes of their own that end before the next begins.
 */
import { randomBytes } from "node:crypto";
import { execText } from "../../lab/cri/commands.ts";
import { busyboxImage } from "../../lab/images/busybox.ts";
import { type BlazarError, blazarError, reasonOf } from "../../src/contracts/errors.ts";
import { BenchNode } from "../node/bench-node.ts";
import { type FileNode, type FileVariant, fileNodes } from "../node/file-nodes.ts";
import { memoryOfAll } from "../node/memory.ts";
import { cachedBytes, dropCaches, hostMemory, largeFiles } from "../node/page-cache.ts";
import { type StartedPod, startPod } from "../node/pod.ts";
import { untilTemplateIsBuilt } from "../node/pool.ts";
import type { PageCacheSample } from "../output/results.ts";
import type { SuiteContext } from "./context.ts";

const SUITE = "page-cache";
const IMAGE = "localhost/blazar/bench-100mb:latest";
const FILE = "/data";
const FILE_BYTES = 100_000_000;
/** Files that hold the image, or a guest's memory. Smaller ones do not matter here. */
const LARGE_BYTES = 90_000_000;
const EXEC_TIMEOUT = 300;

type Pods = readonly StartedPod[];

export async function runPageCache(context: SuiteContext): Promise<PageCacheSample[]> {
  const { absent, progress, signal } = context;
  const samples: PageCacheSample[] = [];
  for (const { config, variants } of fileNodes(context)) {
    for (const variant of variants) {
      signal.throwIfAborted();
      try {
        samples.push(await measure({ config, variants: [variant] }, context));
      } catch (error) {
        if (signal.aborted) throw error;
        absent.push({ what: `${SUITE}: ${variant.name}`, why: reasonOf(error) });
        progress.line(`${SUITE}: ${variant.name} is absent: ${reasonOf(error)}`);
      }
    }
  }
  return samples;
}

async function measure({ config, variants }: FileNode, context: SuiteContext): Promise<PageCacheSample> {
  const { artifacts, containerdConfig, learned, progress, signal } = context;
  const [about] = variants;
  if (about === undefined) throw notMeasured("nothing to measure", "it has no variant");
  progress.line(`${SUITE}: starting a node for ${about.name}`);
  const node = await BenchNode.start({ artifacts, config, containerdConfig });
  try {
    const busybox = await busyboxImage(IMAGE, artifacts.busybox);
    const layer = [{ path: FILE.slice(1), content: randomBytes(FILE_BYTES) }];
    await node.importImage({ ...busybox, layers: [...busybox.layers, layer] });
    const variant = { ...about, node };
    const facts = await untilTemplateIsBuilt(node, variant.variant, signal);
    learned.acceleration = facts?.acceleration ?? learned.acceleration;
    await variant.warmUp?.(node, IMAGE, signal);
    return await sample(variant, context);
  } finally {
    await node.stop();
  }
}

async function sample(variant: FileVariant, context: SuiteContext): Promise<PageCacheSample> {
  const { node, name } = variant;
  const { pods: count, progress, signal } = context;
  const pods: StartedPod[] = [];
  for (let index = 1; index <= count; index++) {
    signal.throwIfAborted();
    const pod = await startPod(node, variant.variant, IMAGE);
    pods.push(pod);
    await variant.check?.(node, pod);
    progress.at(`${SUITE} ${name}`, index, count, "pods");
  }
  await dropCaches();
  const before = await state(variant, pods);
  let read = 0;
  for (const pod of pods) {
    signal.throwIfAborted();
    await inside(node, pod, `cat ${FILE} > /dev/null`);
    progress.at(`${SUITE} ${name}`, ++read, count, "pods have read");
  }
  const after = await state(variant, pods);
  return {
    variant: name,
    pods: count,
    fileBytes: FILE_BYTES,
    available: after.host.available - before.host.available,
    cached: after.host.cached - before.host.cached,
    sandboxesPss: after.pss - before.pss,
    guestCached: after.guestCached - before.guestCached,
    files: [...after.files]
      .map(([path, bytes]) => ({
        name: nameOf(path, node.directories),
        cached: bytes - (before.files.get(path) ?? 0),
      }))
      .filter(({ cached }) => cached > 0),
  };
}

interface State {
  readonly host: { readonly available: number; readonly cached: number };
  /** Of VMMs, or of what shims have started. */
  readonly pss: number;
  /** As the first container sees it: of its guest, or of this host. */
  readonly guestCached: number;
  /** Large files of the node, and what is cached of each. */
  readonly files: ReadonlyMap<string, number>;
}

async function state({ node, name }: FileVariant, pods: Pods): Promise<State> {
  const { vmms, shimChildren } = await node.processes();
  const { pss } = await memoryOfAll([...vmms, ...shimChildren]);
  const [first] = pods;
  if (first === undefined) throw notMeasured(name, "there is no pod");
  const seen = await inside(node, first, "grep ^Cached: /proc/meminfo");
  const host = await hostMemory();
  const paths = await largeFiles(node.directories, LARGE_BYTES);
  const cached = await cachedBytes(paths);
  const files = new Map(paths.map((path, index) => [path, cached[index] ?? 0]));
  return { host, pss, guestCached: Number(/\d+/.exec(seen)?.[0]) * 1024, files };
}

async function inside(node: BenchNode, { containerId }: StartedPod, command: string): Promise<string> {
  const { code, stdout, stderr } = await execText(node.cri, containerId, command, EXEC_TIMEOUT);
  if (code !== 0) throw notMeasured(command, `status ${code}: ${stderr.trim()}`);
  return stdout;
}

/** Names in temporary directories say nothing. */
function nameOf(path: string, directories: readonly string[]): string {
  const above = directories.find((each) => path.startsWith(`${each}/`)) ?? "";
  return path.slice(above.length + 1);
}

function notMeasured(subject: string, reason: string): BlazarError {
  return blazarError("Internal", "measure page caches", reason, { subject });
}
