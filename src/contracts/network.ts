/**
 * Port: the networks of pods. Connects a VM to the network namespace that containerd's CNI plugins have filled
 * (CNI specification, "ADD"), and takes it away again.
 *
 * The guest gets what the pod's namespace has: {@link PodNetwork}. Each of the namespace's links is joined to a tap of the VM
 * ({@link Vm.nics}), so the guest is on the wire in the namespace's place.
 */
import type { PodNetwork } from "./pod-network.ts";
import type { SandboxSpec } from "./sandbox.ts";
import type { Vm, VmNic } from "./vm.ts";

/** What names a pod's network, also when the pod is gone. */
export type NetworkRef = Pick<SandboxSpec, "id" | "netnsPath">;

/** What it needs to know of a pod. Without a namespace the pod has the host's network, and the rest counts. */
export type NetworkedPod = NetworkRef & Partial<Pick<SandboxSpec, "name" | "namespace" | "ports" | "dns">>;

/** What has become of a pod's namespace while the pod runs. */
export type NetworkChange =
  | { readonly kind: "changed"; readonly network: PodNetwork }
  /** The namespace or a link that was joined is gone, in the given words. */
  | { readonly kind: "gone"; readonly reason: string };

/** What connecting needs of a VM: where its taps are. */
export type ConnectedVm = Pick<Vm, "nics">;

export interface PodNetworks {
  /**
   * What the guest shall have, read in one round. Nothing is made. `{links: []}` for a pod that gets no network.
   * @throws BlazarError UnsupportedSpec (a kind of link that cannot be carried, by name; too much of it), HostResource (the
   *   namespace is gone)
   */
  read(pod: NetworkedPod, signal?: AbortSignal): Promise<PodNetwork>;
  /**
   * Joins each link of the pod's namespace to a tap of a VM that runs. Link n gets the VM's NIC n.
   * @param cgroups `cgroup.procs` files for processes that it takes; default: none
   * @throws BlazarError HostResource, VmmExited; PortInUse for a pod with the host's network
   */
  connect(
    vm: ConnectedVm,
    pod: NetworkedPod,
    network: PodNetwork,
    cgroups?: readonly string[],
  ): Promise<void>;
  /**
   * Takes over what an earlier daemon has connected and nobody has disconnected. Resolves with what the guest shall have now:
   * watch it from there on. What the pod has of the host is the pod's before this returns.
   * @param made the id that it was connected under: the pod's, or that of a {@link NetworkAhead}
   * @param cgroups as for {@link connect}
   * @throws BlazarError NetworkLost if it is gone, HostResource if nobody can look
   */
  adopt(pod: NetworkedPod, made: string, cgroups: readonly string[]): Promise<PodNetwork>;
  /** Tells changes until the returned function is called; bursts come as one. A joined pod has one watcher at most. */
  watch(pod: NetworkedPod, network: PodNetwork, onChange: (change: NetworkChange) => void): () => void;
  /** Undoes {@link connect}, or what there is of it; nothing to undo is success. The VM may be gone. */
  disconnect(pod: NetworkRef): Promise<void>;
  /** Undefined: no network can be had before its pod. */
  readonly ahead?: NetworksAhead | undefined;
}

/** The network that a VM is connected to before anybody knows whose VM it will be. */
export interface NetworkAhead {
  /** Undone by {@link PodNetworks.disconnect} with this id and without a namespace's path. */
  readonly id: string;
  readonly network: PodNetwork;
  /** Where the VM's taps are now: from there they can be connected to another network. */
  readonly nics: readonly VmNic[];
}

/** Networks that VMs have ahead of their pods: the host's, which is the same for all pods that have it. */
export interface NetworksAhead {
  /** As {@link PodNetworks.read} of a pod with the host's network that declares no ports. */
  read(): Promise<PodNetwork>;
  /** Throws what {@link PodNetworks.connect} throws; the VM's taps may be gone then. */
  connect(vm: ConnectedVm, id: string, network: PodNetwork): Promise<NetworkAhead>;
  /**
   * A pod has it from now on, with the pod's ports and resolver. False: it has failed meanwhile.
   * @throws BlazarError what {@link PodNetworks.connect} throws
   */
  give(ahead: NetworkAhead, pod: NetworkedPod, cgroups: readonly string[]): Promise<boolean>;
}
