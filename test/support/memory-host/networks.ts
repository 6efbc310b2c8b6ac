/**
 * Networks of pods in memory: namespaces are entries of a map, and a joint is a name in a set.
 *
 * It passes the same suite as the real ones (test/support/conformance/pod-networks.ts). A pod without a path has no network,
 * unless the host has one: then VMs can have it ahead.
 */
import { blazarError } from "../../../src/contracts/errors.ts";
import type {
  ConnectedVm,
  NetworkAhead,
  NetworkChange,
  NetworkedPod,
  NetworksAhead,
  PodNetworks,
} from "../../../src/contracts/network.ts";
import { NO_NETWORK, type PodNetwork } from "../../../src/contracts/pod-network.ts";
import { throwIfAborted } from "../../../src/lib/async.ts";

interface Follower {
  readonly path: string;
  told: string;
  readonly onChange: (change: NetworkChange) => void;
}

export interface MemoryNetworksHooks {
  /** Called before the work: throw to make it fail. */
  before?: (call: "connect" | "disconnect", id: string) => void;
  /** What a path has that nothing was put at. Default: nothing is there. */
  otherwise?: PodNetwork;
}

export class MemoryNetworks implements PodNetworks {
  /** Ids of pods that are joined, with the paths of their namespaces. */
  readonly joined = new Map<string, string>();
  /** What pods without a path have, and VMs ahead of them. */
  host: PodNetwork | undefined;
  /** Pods that have got what a VM had ahead, with the ids of what they have got. */
  readonly given = new Map<string, string>();
  /** Ids of networks that failed before they were given. */
  readonly lost = new Set<string>();
  private readonly networks = new Map<string, PodNetwork>();
  /** Paths whose links are gone, at least one. */
  private readonly cut = new Set<string>();
  private readonly followers = new Set<Follower>();

  constructor(private readonly hooks: MemoryNetworksHooks = {}) {}

  /** Makes a namespace, or changes what it has. */
  put(path: string, network: PodNetwork): void {
    const before = this.networks.get(path);
    this.networks.set(path, network);
    const kept = new Set(network.links.map(({ name }) => name));
    const lost = before?.links.find(({ name }) => !kept.has(name));
    if (lost !== undefined) this.cut.add(path);
    if (lost === undefined) this.tell(path, network);
    else this.end(path, `its link ${lost.name} was removed`);
  }

  remove(path: string): void {
    this.networks.delete(path);
    this.end(path, "its namespace was removed");
  }

  async read({ id, netnsPath }: NetworkedPod, signal?: AbortSignal): Promise<PodNetwork> {
    throwIfAborted(signal, { operation: "read the pod's network", subject: id });
    return netnsPath === "" ? (this.host ?? NO_NETWORK) : this.at(netnsPath);
  }

  get ahead(): NetworksAhead | undefined {
    if (this.host === undefined) return undefined;
    return {
      read: () => this.read({ id: "", netnsPath: "" }),
      connect: (vm, id, network) => this.connectAhead(vm, id, network),
      give: async ({ id }, pod) => {
        this.hooks.before?.("connect", pod.id);
        if (this.lost.has(id) || !this.joined.has(id)) return false;
        this.given.set(pod.id, id);
        return true;
      },
    };
  }

  private async connectAhead(vm: ConnectedVm, id: string, network: PodNetwork): Promise<NetworkAhead> {
    await this.connect(vm, { id, netnsPath: "" }, network);
    return { id, network, nics: [{ tap: "tap0", namespace: `/ahead/${id}` }] };
  }

  async connect(vm: ConnectedVm, { id, netnsPath }: NetworkedPod, network: PodNetwork): Promise<void> {
    this.hooks.before?.("connect", id);
    this.at(netnsPath);
    if (vm.nics.length < network.links.length)
      throw blazarError("Internal", "connect the pod's network", "the VM has too few NICs", { subject: id });
    this.joined.set(id, netnsPath);
  }

  async adopt({ id, netnsPath: path }: NetworkedPod, made: string): Promise<PodNetwork> {
    const network = path === "" ? this.host : (this.networks.get(path) ?? this.hooks.otherwise);
    if (network === undefined || !this.joined.has(made) || this.cut.has(path))
      throw blazarError("NetworkLost", "take over the pod's network", "it was removed", { subject: id });
    return network;
  }

  /** Nobody is told of anything any more; what is joined stays. */
  daemonDies(): void {
    this.followers.clear();
  }

  watch(
    { id, netnsPath: path }: NetworkedPod,
    network: PodNetwork,
    onChange: (change: NetworkChange) => void,
  ) {
    if (!this.joined.has(id)) return () => undefined;
    const follower: Follower = { path, told: JSON.stringify(network), onChange };
    this.followers.add(follower);
    queueMicrotask(() => {
      const now = this.networks.get(path) ?? this.hooks.otherwise;
      if (now === undefined) this.end(path, "its namespace was removed");
      else this.tell(path, now);
    });
    return () => void this.followers.delete(follower);
  }

  async disconnect({ id }: NetworkedPod): Promise<void> {
    this.hooks.before?.("disconnect", id);
    this.joined.delete(id);
  }

  private at(path: string): PodNetwork {
    const network = path === "" ? this.host : (this.networks.get(path) ?? this.hooks.otherwise);
    if (network !== undefined) return network;
    throw blazarError("HostResource", "open a network namespace", "there is none at this path", {
      subject: path,
    });
  }

  private tell(path: string, network: PodNetwork): void {
    const text = JSON.stringify(network);
    for (const follower of this.followers) {
      if (follower.path !== path || follower.told === text) continue;
      follower.told = text;
      follower.onChange({ kind: "changed", network });
    }
  }

  private end(path: string, reason: string): void {
    for (const follower of this.followers) {
      if (follower.path !== path) continue;
      this.followers.delete(follower);
      follower.onChange({ kind: "gone", reason });
    }
  }
}
