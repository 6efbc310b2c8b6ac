/**
 * Port: the networks of pods. Connects a VM to the network namespace that containerd's CNI plugins have filled
 * (CNI specification, "ADD"), and takes it away again.
 *
 * The guest gets what the pod's namespace has: {@link PodNetwork}. Each of the namespace's links is joined to a tap of the VM
 * ({@link Vm.nics}), so the guest is on the wire in the namespace's place.
 */
import type { SandboxSpec } from "./sandbox.ts";
import type { Vm } from "./vm.ts";

/** What it needs to know of a pod. */
export type NetworkedPod = Pick<SandboxSpec, "id" | "netnsPath">;

/** An address of a link, as rtnetlink(7) has it. */
export interface PodAddress {
  /** IPv4 or IPv6, as text: `10.0.0.2`, `fd00::2`. */
  readonly address: string;
  /** Bits of the network. */
  readonly prefix: number;
  /** The other end, if it is another address (IFA_ADDRESS of a point-to-point link). */
  readonly peer?: string | undefined;
  readonly broadcast?: string | undefined;
  /** RT_SCOPE_*. */
  readonly scope: number;
}

/** A network interface that the guest shall have. `lo` is none of them. */
export interface PodLink {
  /** Its name in the pod's namespace and in the guest. */
  readonly name: string;
  /** `aa:bb:cc:dd:ee:ff`. */
  readonly mac: string;
  readonly mtu: number;
  readonly addresses: readonly PodAddress[];
}

/** A route of the main table. */
export interface PodRoute {
  /** Network with its bits: `10.0.0.0/8`, `0.0.0.0/0`, `::/0`. */
  readonly destination: string;
  /** {@link PodLink.name}; "lo" for local ones. "" for a route without a link, such as a blackhole. */
  readonly link: string;
  readonly gateway?: string | undefined;
  /** Preferred source address. */
  readonly source?: string | undefined;
  /** RT_SCOPE_*. */
  readonly scope: number;
  /** RTN_*: unicast, blackhole, unreachable, prohibit. */
  readonly type: number;
  /** Priority; 0 = none. */
  readonly metric: number;
  readonly mtu?: number | undefined;
  /** RTNH_F_ONLINK: the gateway is on the link whatever the addresses say. */
  readonly onlink: boolean;
}

/** A neighbour that a plugin has made permanent. */
export interface PodNeighbour {
  readonly link: string;
  readonly address: string;
  readonly mac: string;
}

/** All that a guest is told of its network. Applied as a whole: what is not in it goes. */
export interface PodNetwork {
  readonly links: readonly PodLink[];
  /** In the order in which they can be made: those that gateways are reached by come first. */
  readonly routes: readonly PodRoute[];
  readonly neighbours: readonly PodNeighbour[];
}

/** What has become of a pod's namespace while the pod runs. */
export type NetworkChange =
  | { readonly kind: "changed"; readonly network: PodNetwork }
  /** The namespace or a link that was joined is gone, in the given words. */
  | { readonly kind: "gone"; readonly reason: string };

export interface PodNetworks {
  /**
   * What the guest shall have, read in one round. Nothing is made. `{links: []}` for a pod that gets no network.
   * @throws BlazarError UnsupportedSpec (a kind of link that cannot be carried, by name; too much of it), HostResource (the
   *   namespace is gone)
   */
  read(pod: NetworkedPod, signal?: AbortSignal): Promise<PodNetwork>;
  /** Joins each link of the pod's namespace to a tap of a VM that runs. Link n gets the VM's NIC n. */
  connect(vm: Vm, pod: NetworkedPod, network: PodNetwork): Promise<void>;
  /** Tells changes until the returned function is called; bursts come as one. A joined pod has one watcher at most. */
  watch(pod: NetworkedPod, network: PodNetwork, onChange: (change: NetworkChange) => void): () => void;
  /** Undoes {@link connect}, or what there is of it; nothing to undo is success. The VM may be gone. */
  disconnect(pod: NetworkedPod): Promise<void>;
}
