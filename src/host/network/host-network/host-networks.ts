/**
 * The PodNetworks port for pods with hostNetwork: the host's network by a helper, pasta, for each.
 *
 * Follows passt(1) and ADR 20. The guest has the host's addresses, and reaches what the host reaches; the ports that the pod's
 * containers declare reach the guest. A host without addresses gives its pods none.
 */
import { blazarError } from "../../../contracts/errors.ts";
import { type HostPlan, loopbackResolver } from "../../../contracts/host-networks.ts";
import type { NetworkChange, NetworkedPod, NetworkRef, PodNetworks } from "../../../contracts/network.ts";
import { NO_NETWORK, type PodNetwork } from "../../../contracts/pod-network.ts";
import type { Vm } from "../../../contracts/vm.ts";
import { HostPorts, inUse } from "./host-ports.ts";
import { removeUplink, Uplink, type UplinkPorts } from "./uplink.ts";

interface User {
  readonly uid: number;
  readonly gid: number;
}

export interface HostNetworksOptions extends UplinkPorts {
  /** Directory with `bin/pasta`, and `lib` with its loader and its C library. */
  readonly program: string;
  /** One for each helper. */
  readonly users: { take(): User; release(user: User): void };
  readonly hostResolvConf: () => Promise<string>;
}

/** What pasta says of a port that it cannot have. */
const REFUSED_PORT = /Listen failed for HOST (TCP|UDP) port \S*?(\d+): ([^;]+)/;

export class HostNetworks implements PodNetworks {
  private readonly ports = new HostPorts();
  private readonly plans = new WeakMap<PodNetwork, HostPlan>();
  private readonly uplinks = new Map<string, { readonly uplink: Uplink; readonly user: User }>();
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
    vm: Vm,
    pod: NetworkedPod,
    network: PodNetwork,
    cgroups: readonly string[] = [],
  ): Promise<void> {
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
      this.uplinks.set(pod.id, { uplink, user });
      await uplink.open(nic);
    } catch (error) {
      await this.disconnect(pod).catch((second: unknown) =>
        this.options.logger.warn({ err: second }, "an uplink that failed could not be taken away"),
      );
      throw refusedPort(pod, error) ?? error;
    }
  }

  watch(pod: NetworkedPod, _: PodNetwork, onChange: (change: NetworkChange) => void): () => void {
    const uplink = this.uplinks.get(pod.id)?.uplink;
    uplink?.watch((reason) => onChange({ kind: "gone", reason }));
    return () => uplink?.watch(undefined);
  }

  async disconnect({ id }: NetworkRef): Promise<void> {
    const held = this.uplinks.get(id);
    held?.uplink.close();
    await removeUplink(this.options, id);
    this.ports.release(id);
    if (held === undefined || !this.uplinks.delete(id)) return;
    this.options.users.release(held.user);
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

/** A process of the host has the port, or the host does not give it to anybody. */
function refusedPort(pod: NetworkedPod, error: unknown): unknown {
  const found = REFUSED_PORT.exec(error instanceof Error ? error.message : "");
  if (found === null) return undefined;
  const [, protocol = "", host = "", reason = ""] = found;
  const port = { protocol: protocol === "TCP" ? "tcp" : "udp", host: Number(host) } as const;
  return inUse(pod, port, `the host itself (${reason})`);
}
