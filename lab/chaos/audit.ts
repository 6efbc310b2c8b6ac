/**
 * Holds what CRI says to what is believed: pods that nobody has touched are ready, and their containers run.
 */
import { ContainerState, PodSandboxState } from "../../src/rpc/generated/runtime/v1/cri.ts";
import type { CriClient } from "../cri/client.ts";
import { until } from "../host/until.ts";
import type { ChaosContainer, ChaosPod } from "./chaos-pod.ts";
import type { ChaosRecord, Kill } from "./record.ts";

/** containerd needs a moment to hear of an end. */
const KEEPER_PATIENCE = { timeoutMs: 20_000, pollMs: 200 };

/** @param pods those that there are now */
export async function audit(
  cri: CriClient,
  pods: () => readonly ChaosPod[],
  record: ChaosRecord,
  after: Kill,
): Promise<void> {
  const believed = pods().filter((pod) => pod.isReady);
  const running = believed.flatMap((pod) => [...pod.containers.values()].filter(isSure));
  const [sandboxes, containers] = await Promise.all([cri.listPodSandboxes(), cri.listContainers()]);
  const stateOfPod = new Map(sandboxes.map(({ id, state }) => [id, state]));
  const stateOf = new Map(containers.map(({ id, state }) => [id, state]));
  for (const pod of believed.filter(({ isReady }) => isReady)) {
    if (stateOfPod.get(pod.id) === PodSandboxState.SANDBOX_READY) continue;
    record.found("wrong", `${pod.name} (${pod.id}) is not ready after the kill of ${after}`);
    pod.unsure = true;
  }
  for (const container of running.filter(isSure)) {
    if (container.kind === "burst" || stateOf.get(container.id) === ContainerState.CONTAINER_RUNNING)
      continue;
    const state = `its state is ${stateOf.get(container.id)}`;
    record.found(
      "wrong",
      `${container.name} (${container.id}) does not run (${state}) after the kill of ${after}`,
    );
    container.unsure = true;
  }
}

/** After the keeper's death every container has ended, and no pod has. */
export async function auditKeeper(
  cri: CriClient,
  containers: readonly ChaosContainer[],
  record: ChaosRecord,
): Promise<void> {
  const ids = new Set(containers.filter(({ started }) => started).map(({ id }) => id));
  const ended = async () => {
    const running = (await cri.listContainers()).filter(
      ({ id, state }) => ids.has(id) && state === ContainerState.CONTAINER_RUNNING,
    );
    return running.length === 0 ? true : undefined;
  };
  await until("the containers' ends", ended, KEEPER_PATIENCE).catch(() =>
    record.found("wrong", "containers run 20 s after the keeper's death, for containerd"),
  );
}

function isSure({ started, unsure, causes }: ChaosContainer): boolean {
  return started && !unsure && causes.size === 0;
}
