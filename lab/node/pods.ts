/**
 * Pods of a node through CRI: what tests and benchmark configure and take away in the same way.
 */
import { type DeepPartial, NamespaceMode, PodSandboxConfig } from "../../src/rpc/generated/runtime/v1/cri.ts";
import type { CriClient } from "../cri/client.ts";

/** The configuration of a hostNetwork pod. @param more further fields; they win over what is set here */
export function hostNetworkPod(
  name: string,
  more: DeepPartial<PodSandboxConfig> = {},
): DeepPartial<PodSandboxConfig> {
  const security = more.linux?.securityContext;
  const namespaceOptions = { network: NamespaceMode.NODE, ...security?.namespaceOptions };
  return PodSandboxConfig.fromPartial({
    metadata: { name, uid: `uid-${name}`, namespace: "default", attempt: 0 },
    ...more,
    linux: { ...more.linux, securityContext: { ...security, namespaceOptions } },
  });
}

export async function removePod(cri: CriClient, id: string): Promise<void> {
  await cri.stopPodSandbox(id);
  await cri.removePodSandbox(id);
}

/** Stops and removes every pod that is there. */
export async function removeAllPods(cri: CriClient): Promise<void> {
  const pods = await cri.listPodSandboxes();
  await Promise.all(pods.map(({ id }) => removePod(cri, id)));
}
