/**
 * The PodNetworks port of a node: pods with a network namespace, and pods that have the host's network.
 *
 * Nothing is done here but to ask the right one.
 */
import type {
  ConnectedVm,
  NetworkChange,
  NetworkedPod,
  NetworkRef,
  PodNetworks,
} from "../../contracts/network.ts";
import type { PodNetwork } from "../../contracts/pod-network.ts";

export class NodePodNetworks implements PodNetworks {
  constructor(
    /** For pods with a network namespace. */
    private readonly own: PodNetworks,
    /** For pods with the host's network. */
    private readonly host: PodNetworks,
  ) {}

  get ahead() {
    return this.host.ahead;
  }

  read(pod: NetworkedPod, signal?: AbortSignal): Promise<PodNetwork> {
    return this.of(pod).read(pod, signal);
  }

  connect(
    vm: ConnectedVm,
    pod: NetworkedPod,
    network: PodNetwork,
    cgroups?: readonly string[],
  ): Promise<void> {
    return this.of(pod).connect(vm, pod, network, cgroups);
  }

  adopt(pod: NetworkedPod, made: string, cgroups: readonly string[]): Promise<PodNetwork> {
    return this.of(pod).adopt(pod, made, cgroups);
  }

  watch(pod: NetworkedPod, network: PodNetwork, onChange: (change: NetworkChange) => void): () => void {
    return this.of(pod).watch(pod, network, onChange);
  }

  disconnect(pod: NetworkRef): Promise<void> {
    return this.of(pod).disconnect(pod);
  }

  private of({ netnsPath }: NetworkRef): PodNetworks {
    return netnsPath === "" ? this.host : this.own;
  }
}
