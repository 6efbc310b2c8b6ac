/**
 * The nodes and variants of `files`: blazar with images, blazar with the share alone, and the other handlers.
 */

import type { NodeConfig } from "../../lab/node/blazard-config.ts";
import { CONFIG_SCHEMA } from "../../src/daemon/config/schema.ts";
import type { SuiteContext } from "../suites/context.ts";
import type { BenchNode } from "./bench-node.ts";
import type { StartedPod } from "./pod.ts";
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

/** The last one has the handlers that blazar is compared with. */
export function fileNodes({ handlers, absent }: SuiteContext): FileNode[] {
  const others = handlers
    .filter((handler) => handler !== BLAZAR)
    .map((handler) => ({ name: handler, variant: handlerVariant(handler) }));
  if (!handlers.includes(BLAZAR)) return [{ config: poolConfig(0), variants: others }];
  const variant = handlerVariant(BLAZAR);
  if (!("image" in CONFIG_SCHEMA)) {
    absent.push({ what: "files: images", why: "this blazard makes no images" });
    return [{ config: poolConfig(0), variants: [{ name: "share", variant }, ...others] }];
  }
  return [
    { config: { ...poolConfig(0), image: { enabled: true } }, variants: [{ name: "images", variant }] },
    {
      config: { ...poolConfig(0), image: { enabled: false } },
      variants: [{ name: "share", variant }, ...others],
    },
  ];
}
