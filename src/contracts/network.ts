/**
 * Port: the networks of pods. Connects a VM to the network namespace that containerd's CNI plugins have filled
 * (CNI specification, "ADD"), and takes it away again.
 *
 * One call each way, whether the VM was booted for the pod, cloned or warm, so that it can be a step beside others.
 */
import type { SandboxSpec } from "./sandbox.ts";
import type { Vm } from "./vm.ts";

/** What it needs to know of a pod. */
export type NetworkedPod = Pick<SandboxSpec, "id" | "netnsPath">;

export interface PodNetworks {
  /** Throws UnsupportedSpec if such a pod cannot be connected, before anything is made for it. */
  admit(pod: NetworkedPod): void;
  /** Connects a VM that runs to the pod's namespace. Never called for hostNetwork pods, which have none. */
  connect(vm: Vm, pod: NetworkedPod): Promise<void>;
  /** Undoes {@link connect}, or what there is of it; nothing to undo is success. */
  disconnect(pod: NetworkedPod): Promise<void>;
}
