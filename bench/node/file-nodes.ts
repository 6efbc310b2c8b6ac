/**
 * The nodes and variants of `files`: blazar with images, blazar with the share alone, and the other handlers.
 */

import { until } from "../../lab/host/until.ts";
import type { NodeConfig } from "../../lab/node/blazard-config.ts";
import { type BlazarError, blazarError } from "../../src/contracts/errors.ts";
import type { SuiteContext } from "../suites/context.ts";
import type { BenchNode } from "./bench-node.ts";
import { type StartedPod, startPod } from "./pod.ts";
import { poolConfig } from "./pool.ts";
import { BLAZAR, handlerVariant, type Variant } from "./variants.ts";

/** A variant, and the node that it runs on. */
export interface FileVariant {
  /** `images`, `share`, or a handler's name. */
  readonly name: string;
  readonly node: BenchNode;
  readonly variant: Variant;
  /** Waits until pods are started as they will be measured. */
  readonly warmUp?: (node: BenchNode, image: string, signal: AbortSignal) => Promise<void>;
  /** Throws if this pod is not what the variant says. */
  readonly check?: (node: BenchNode, pod: StartedPod) => Promise<void>;
}

/** A node that is to be started, and what will run on it. */
export interface FileNode {
  readonly config: NodeConfig;
  readonly variants: readonly Omit<FileVariant, "node">[];
}

/** An image of 500 MB is made behind the first pod, at idle priority. */
const IMAGE_TIMEOUT_MS = 180_000;
const IMAGE_POLL_MS = 1_000;

/** The last one has the handlers that blazar is compared with. */
export function fileNodes({ handlers }: SuiteContext): FileNode[] {
  const others = handlers
    .filter((handler) => handler !== BLAZAR)
    .map((handler) => ({ name: handler, variant: handlerVariant(handler) }));
  if (!handlers.includes(BLAZAR)) return [{ config: poolConfig(0), variants: others }];
  const variant = handlerVariant(BLAZAR);
  const images = { name: "images", variant, warmUp: untilImageIsUsed, check: mustUseImage };
  const share = { name: "share", variant, check: mustNotUseImage };
  return [
    { config: { ...poolConfig(0), image: { enabled: true } }, variants: [images] },
    { config: { ...poolConfig(0), image: { enabled: false } }, variants: [share, ...others] },
  ];
}

/** The first pod has its layers by the share, and its image is made behind it. */
async function untilImageIsUsed(node: BenchNode, image: string, signal: AbortSignal): Promise<void> {
  const ask = async () => {
    const pod = await startPod(node, handlerVariant(BLAZAR), image);
    const used = await node.usesImage(pod.containerId);
    await node.removePod(pod.id);
    return used ? true : undefined;
  };
  const patience = { timeoutMs: IMAGE_TIMEOUT_MS, pollMs: IMAGE_POLL_MS, signal };
  await until(`a pod whose layers are an image (${image})`, ask, patience);
}

async function mustUseImage(node: BenchNode, { containerId }: StartedPod): Promise<void> {
  if (!(await node.usesImage(containerId))) throw notAsSaid(containerId, "it has its layers by the share");
}

async function mustNotUseImage(node: BenchNode, { containerId }: StartedPod): Promise<void> {
  if (await node.usesImage(containerId)) throw notAsSaid(containerId, "it has its layers from an image");
}

function notAsSaid(subject: string, reason: string): BlazarError {
  return blazarError("Internal", "measure a container", reason, { subject });
}
