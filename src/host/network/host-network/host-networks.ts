/**
 * The PodNetworks port for pods with hostNetwork: the host's network by a helper, pasta, for each.
 *
 * Follows passt(1) and ADR 20. The guest has the host's addresses, and reaches what the host reaches; the ports that the pod's
 * containers declare reach the guest. A host without addresses gives its pods none.
 */
import { statSync } from "node:fs";
import { blazarError } from "../../../contracts/errors.ts";
import { type HostPlan, loopbackResolver } from "../../../contracts/host-networks.ts";
import type {
  ConnectedVm,
  NetworkAhead,
  NetworkChange,
  NetworkedPod,
  NetworkRef,
  NetworksAhead,
  PodNetworks,
} from "../../../contracts/network.ts";
import { NO_NETWORK, type PodNetwork } from "../../../contracts/pod-network.ts";
import type { VmNic } from "../../../contracts/vm.ts";
import { HostPorts, inUse, notOfHost } from "./host-ports.ts";
import { adoptOrphan } from "./orphan.ts";
import { helperId, removeUplink, uplinkDirectory } from "./remove-uplink.ts";
import { Uplink, type UplinkPorts } from "./uplink.ts";

interface User {
  readonly uid: number;
  readonly gid: number;
}

export interface HostNetworksOptions extends UplinkPorts {
  /** Directory with `bin/pasta`, and `lib` with its loader and its C library. */
  readonly program: string;
  /** One for each helper. */
  readonly users: { take(): User; claim(user: User): void; release(user: User): void };
  readonly hostResolvConf: () => Promise<string>;
}

/** Instead of a pod that is not known yet. */
const NOBODYS: NetworkedPod = { id: "", netnsPath: "" };
/** What pasta says of a port that it cannot have. */
const REFUSED_PORT = /Listen failed for HOST (TCP|UDP) port \S*?(\d+): ([^;]+)/;

/** An uplink with the user of its helper, and whose it is: a pod's id, or undefined as long as it is nobody's. */
interface Held {
  /** Undefined: an earlier daemon has made it, and nobody could look at it yet. */
  uplink: Uplink | undefined;
  readonly user: User;
  pod: string | undefined;
}

export class HostNetworks implements PodNetworks {
  readonly ahead: NetworksAhead = {
    read: () => this.read(NOBODYS),
    connect: (vm, id, network) => this.connectAhead(vm, id, network),
    give: (ahead, pod, cgroups) => this.give(ahead, pod, cgroups),
  };
  private readonly ports = new HostPorts();
  private readonly plans = new WeakMap<PodNetwork, HostPlan>();
  /** By the uplinks' ids. */
  private readonly uplinks = new Map<string, Held>();
  private readonly told = new Set<string>();

  constructor(private readonly options: HostNetworksOptions) {}

  /** Throws UnsupportedSpec, InvalidSpec, PortInUse, HostResource. */
  async read(pod: NetworkedPod): Promise<PodNetwork> {
    this.ports.check(pod);
    const { keeper, workers } = this.options;
    // the helper will be its child
    const plan = await workers.run("readHostNetwork", { path: `/proc/${keeper.pid}/ns/net` });
    if (plan === undefined) {
      this.tellOnce("the host has no address: pods with hostNetwork get no network");
      return NO_NETWORK;
    }
    for (const warning of plan.warnings) this.tellOnce(warning);
    this.plans.set(plan.network, plan);
    return plan.network;
  }

  async connect(
    vm: ConnectedVm,
    pod: NetworkedPod,
    network: PodNetwork,
    cgroups: readonly string[] = [],
  ): Promise<void> {
    await this.open(vm, pod, pod.id, network, cgroups);
  }

  async adopt(pod: NetworkedPod, made: string, cgroups: readonly string[]): Promise<PodNetwork> {
    const { users, program, keeper } = this.options;
    const ports = this.ports.claim(pod);
    const directory = uplinkDirectory(this.options, made);
    const user = ownerOf(directory);
    if (user === undefined)
      throw blazarError("NetworkLost", "take over a pod's uplink", "its directory was removed", {
        subject: pod.id,
      });
    users.claim(user);
    // from here on disconnect() undoes it, whatever follows
    const held: Held = { uplink: undefined, user, pod: pod.id };
    this.uplinks.set(made, held);
    const [network, resolver] = await Promise.all([this.read(pod), this.resolverOf(pod)]);
    const plan = this.plans.get(network);
    if (plan === undefined)
      throw blazarError("HostResource", "take over a pod's uplink", "the host has no address now", {
        subject: pod.id,
      });
    await adoptOrphan(keeper, directory, helperId(made));
    // it serves as long as it runs; what follows its end is told then
    await keeper
      .adoptUplink(made, helperId(made))
      .catch((err: unknown) =>
        this.options.logger.warn({ err, uplink: made }, "an uplink's helper cannot be replaced when it ends"),
      );
    held.uplink = new Uplink(made, { program, user, cgroups, plan, ports, resolver }, this.options);
    held.uplink.adopt();
    return network;
  }

  watch(pod: NetworkedPod, _: PodNetwork, onChange: (change: NetworkChange) => void): () => void {
    const uplink = [...this.uplinks.values()].find((held) => held.pod === pod.id)?.uplink;
    uplink?.watch((reason) => onChange({ kind: "gone", reason }));
    return () => uplink?.watch(undefined);
  }

  /** Of a pod, or of a VM that nobody has had yet. */
  async disconnect({ id }: NetworkRef): Promise<void> {
    const held = this.uplinks.get(id);
    await (held?.uplink === undefined ? removeUplink(this.options, id) : held.uplink.remove());
    this.ports.release(held?.pod ?? id);
    if (held === undefined || !this.uplinks.delete(id)) return;
    this.options.users.release(held.user);
  }

  private async connectAhead(vm: ConnectedVm, id: string, network: PodNetwork): Promise<NetworkAhead> {
    return { id, network, nics: [await this.open(vm, { ...NOBODYS, id }, undefined, network, [])] };
  }

  private async give({ id }: NetworkAhead, pod: NetworkedPod, cgroups: readonly string[]): Promise<boolean> {
    const held = this.uplinks.get(id);
    if (held?.uplink === undefined) return false;
    const ports = this.ports.claim(pod);
    held.pod = pod.id;
    try {
      const given = await held.uplink.give({ cgroups, ports, resolver: await this.resolverOf(pod) });
      if (!given) this.takeFrom(held);
      return given;
    } catch (error) {
      this.takeFrom(held);
      throw refusedPort(pod, error) ?? error;
    }
  }

  /** It is nobody's again, and good for nothing but its end. */
  private takeFrom(held: Held): void {
    if (held.pod !== undefined) this.ports.release(held.pod);
    held.pod = undefined;
  }

  /**
   * Gives where the VM's tap is from then on.
   * @param owner of the uplink, which is called as `pod` is
   */
  private async open(
    vm: ConnectedVm,
    pod: NetworkedPod,
    owner: string | undefined,
    network: PodNetwork,
    cgroups: readonly string[],
  ): Promise<VmNic> {
    const plan = this.plans.get(network);
    const nic = vm.nics[0];
    if (plan === undefined || nic === undefined) {
      const reason = plan === undefined ? "its network was not read here" : "its VM has no network interface";
      throw blazarError("HostResource", "give a pod the host's network", reason, { subject: pod.id });
    }
    const { program, users } = this.options;
    const ports = this.ports.claim(pod);
    try {
      const resolver = await this.resolverOf(pod);
      const user = users.take();
      this.checkPing(plan, user);
      const uplink = new Uplink(pod.id, { program, user, cgroups, plan, ports, resolver }, this.options);
      this.uplinks.set(pod.id, { uplink, user, pod: owner });
      return await uplink.open(nic);
    } catch (error) {
      await this.disconnect(pod).catch((second: unknown) =>
        this.options.logger.warn({ err: second }, "an uplink that failed could not be taken away"),
      );
      throw refusedPort(pod, error) ?? error;
    }
  }

  /** The helper sends a guest's ICMP echo by a socket of its own user's. */
  private checkPing({ pingGroups: [first, last] }: HostPlan, { gid }: User): void {
    if (gid >= first && gid <= last) return;
    this.tellOnce(
      'pods with hostNetwork send no ICMP echo (ping): sysctl -w net.ipv4.ping_group_range="0 2147483647" allows it',
    );
  }

  /** A pod that names no servers has the node's. */
  private async resolverOf({ dns }: NetworkedPod): Promise<string | undefined> {
    const own = (dns?.servers ?? []).map((server) => `nameserver ${server}\n`).join("");
    return loopbackResolver(own === "" ? await this.options.hostResolvConf() : own);
  }

  private tellOnce(warning: string): void {
    if (this.told.has(warning)) return;
    this.told.add(warning);
    this.options.logger.warn({}, warning);
  }
}

/** Whom a directory belongs to; undefined if it is gone. A look at a file system in memory, before anybody else gets the user. */
function ownerOf(directory: string): User | undefined {
  const stat = statSync(directory, { throwIfNoEntry: false });
  return stat && { uid: stat.uid, gid: stat.gid };
}

/** A process of the host has the port, or the host does not give it to anybody. */
function refusedPort(pod: NetworkedPod, error: unknown): unknown {
  const found = REFUSED_PORT.exec(error instanceof Error ? error.message : "");
  if (found === null) return undefined;
  const [, protocol = "", host = "", reason = ""] = found;
  const port = { protocol: protocol === "TCP" ? "tcp" : "udp", host: Number(host) } as const;
  if (/cannot assign/i.test(reason)) return notOfHost(pod, port, reason);
  return inUse(pod, port, `the host itself (${reason})`);
}
