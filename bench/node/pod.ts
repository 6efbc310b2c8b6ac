/**
 * One sample: a pod and its container, in the host's network or on one of CNI's, from RunPodSandbox until StartContainer has returned.
 *
 * StartContainer returns after the container's execve, for blazar as for runc. The clock is this process's, and no
 * process is started for a figure. The daemon's own facts are asked for afterwards, uncounted.
 */

import type { Handler } from "../../lab/fidelity/handler-pod.ts";
import { handlerFor } from "../../lab/network/lab-network.ts";
import { creationSteps, podTimeline } from "../../lab/node/pod-timeline.ts";
import { hostNetworkPod } from "../../lab/node/pods.ts";
import { NamespaceMode } from "../../src/rpc/generated/runtime/v1/cri.ts";
import { type BenchNode, IMAGE } from "./bench-node.ts";
import { BLAZAR, type BootPath, bootPathOf, type Variant } from "./variants.ts";

/** A named part of a start, in milliseconds. */
export interface Step {
  readonly step: string;
  readonly ms: number;
}

/** A pod that runs, and how long each call took. */
export interface StartedPod {
  readonly id: string;
  readonly containerId: string;
  readonly totalMs: number;
  /** RunPodSandbox, CreateContainer, StartContainer. */
  readonly calls: readonly Step[];
}

/** What blazard tells of a pod. */
export interface PodFacts {
  readonly boot: BootPath;
  readonly acceleration: string;
  readonly steps: readonly Step[];
}

/** One plugin, and no rules of packet filters: what CNI itself takes is to be small. */
const CNI_KIND = "plain";

let serial = 0;

/** Starts a pod whose container sleeps. If a step fails, the pod is removed. */
export async function startPod(
  node: BenchNode,
  variant: Variant,
  image: string = IMAGE,
): Promise<StartedPod> {
  const { cri } = node;
  const name = `bench-${++serial}`;
  const cni = variant.network === "cni";
  const network = cni ? NamespaceMode.POD : NamespaceMode.NODE;
  const config = hostNetworkPod(name, {
    annotations: { ...variant.annotations },
    linux: { securityContext: { namespaceOptions: { network } } },
  });
  const handler = cni ? handlerFor(variant.handler as Handler, CNI_KIND) : variant.handler;
  const container = {
    metadata: { name: "main", attempt: 0 },
    image: { image },
    command: ["sleep", "2147483647"],
    linux: { securityContext: { namespaceOptions: { network } } },
  };
  const begin = performance.now();
  const id = await cri.runPodSandbox(config, handler);
  try {
    const sandbox = performance.now();
    const containerId = await cri.createContainer(id, container, config);
    const created = performance.now();
    await cri.startContainer(containerId);
    const end = performance.now();
    return {
      id,
      containerId,
      totalMs: end - begin,
      calls: [
        { step: "RunPodSandbox", ms: sandbox - begin },
        { step: "CreateContainer", ms: created - sandbox },
        { step: "StartContainer", ms: end - created },
      ],
    };
  } catch (error) {
    await node.removePod(id).catch(() => undefined);
    throw error;
  }
}

/** Undefined for other handlers. */
export async function podFacts(
  node: BenchNode,
  variant: Variant,
  pod: StartedPod,
): Promise<PodFacts | undefined> {
  if (variant.handler !== BLAZAR) return undefined;
  const status = await node.cri.podSandboxStatus(pod.id, true);
  const { timeline, acceleration } = podTimeline(status);
  const creation = await creationSteps(node.blazardLog, pod.containerId);
  return { boot: bootPathOf(status.info), acceleration, steps: [...timeline, ...creation] };
}
