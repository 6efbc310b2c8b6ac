/**
 * The PodNetworks port for pods whose network namespace CNI plugins have filled.
 *
 * Workers go into the namespace; the keeper tells when something changes in there. What a joined pod has is forgotten with its
 * {@link disconnect}. A daemon that was restarted finds it in the namespace, and disconnects by the path alone.
 */
import { blazarError } from "../../contracts/errors.ts";
import type { Keeper } from "../../contracts/keeper.ts";
import type { Logger } from "../../contracts/logger.ts";
import type { ConnectedVm, NetworkChange, NetworkedPod, PodNetworks } from "../../contracts/network.ts";
import type { PodNetwork } from "../../contracts/pod-network.ts";
import { abortable } from "../../lib/async.ts";
import type { Joined } from "../../workers/network/join.ts";
import type { NetworkTasks } from "../../workers/network/tasks.ts";
import type { TaskRunner } from "../storage/worker-pool.ts";
import { Directories } from "./directories.ts";
import { NetworkWatch } from "./network-watch.ts";

export interface CniNetworksPorts {
  readonly workers: TaskRunner<NetworkTasks>;
  readonly keeper: Pick<Keeper, "watchNetwork" | "unwatchNetwork">;
  readonly logger: Logger;
}

export class CniNetworks implements PodNetworks {
  private readonly directories: Directories;
  /** By the pods' ids: what each is joined to. */
  private readonly joined = new Map<string, Joined>();
  /** By the pods' ids: what is under way, and never rejects. */
  private readonly joining = new Map<string, Promise<unknown>>();
  private lastJoint: Promise<unknown> = Promise.resolve();

  constructor(private readonly ports: CniNetworksPorts) {
    this.directories = new Directories(ports.logger);
  }

  async read({ id, netnsPath: path }: NetworkedPod, signal?: AbortSignal): Promise<PodNetwork> {
    const reading = this.ports.workers.run("readNetwork", { path });
    const what = { operation: "read the pod's network", subject: id };
    return await abortable(reading, signal, what);
  }

  async connect(vm: ConnectedVm, { id, netnsPath: path }: NetworkedPod, network: PodNetwork): Promise<void> {
    const joints = network.links.map(({ name: link, mtu }, number) => {
      const nic = vm.nics[number];
      if (nic !== undefined) return { link, mtu, nic };
      const reason = `${network.links.length} links, but the VM has ${vm.nics.length} NICs`;
      throw blazarError("Internal", "connect the pod's network", reason, { subject: id });
    });
    // the kernel moves one link at a time anyway, and each waiting call would hold a thread of libuv's
    const turn = this.lastJoint.then(() => this.ports.workers.run("joinTaps", { path, joints }));
    const settled = turn.catch(() => undefined);
    this.lastJoint = settled;
    this.joining.set(id, settled);
    try {
      this.joined.set(id, await turn);
    } finally {
      if (this.joining.get(id) === settled) this.joining.delete(id);
    }
  }

  async adopt({ id, netnsPath: path }: NetworkedPod): Promise<PodNetwork> {
    const look = await this.ports.workers.run("lookForTaps", { path });
    if (look.kind === "gone")
      throw blazarError("NetworkLost", "take over the pod's network", look.reason, { subject: id });
    this.joined.set(id, look.joined);
    return look.network;
  }

  /** Nothing is watched of a pod that is not connected. */
  watch(pod: NetworkedPod, network: PodNetwork, onChange: (change: NetworkChange) => void): () => void {
    const joined = this.joined.get(pod.id);
    if (joined === undefined) return () => undefined;
    const { keeper, workers, logger } = this.ports;
    const { directories } = this;
    const ports = { keeper, workers, directories, logger: logger.child({ sandbox: pod.id }) };
    const watch = new NetworkWatch(ports, pod, joined, network, onChange);
    return () => watch.stop();
  }

  async disconnect({ id, netnsPath: path }: NetworkedPod): Promise<void> {
    // what is being made would be there after it
    await this.joining.get(id);
    await this.ports.workers.run("leaveTaps", { path });
    this.joined.delete(id);
  }
}
