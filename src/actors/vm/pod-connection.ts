/**
 * A sandbox's VM and the pod's network: what the network is, the VM's connection to it, and what becomes of it meanwhile.
 *
 * The work on the host is behind ports (contracts/network.ts, port-forward.ts). The resource `network` in the journal stands
 * for all of it that outlives the daemon.
 */
import { type Observable, ReplaySubject } from "rxjs";
import { BlazarError, blazarError } from "../../contracts/errors.ts";
import type { Logger } from "../../contracts/logger.ts";
import type { NetworkAhead, NetworkChange, PodNetworks } from "../../contracts/network.ts";
import { NO_NETWORK, type PodNetwork } from "../../contracts/pod-network.ts";
import type { SandboxSpec } from "../../contracts/sandbox.ts";
import { failureOf } from "../../machines/failure.ts";
import type { SandboxEvent } from "../../machines/sandbox.setup.ts";
import type { HeldResources } from "../resources/held.ts";
import type { PortForwarding } from "./forward/port-forwarding.ts";
import type { GuestVm } from "./guest-vm.ts";

export class PodConnection {
  /** What the guest shall have; without links until it was read. */
  current = NO_NETWORK;
  private readonly lost = new ReplaySubject<SandboxEvent>(1);
  private isAdopted = false;
  /** What is being taken up would be there after its end. */
  private adopting: Promise<void> = Promise.resolve();
  private stopWatching: (() => void) | undefined;
  private leaving: Promise<void> = Promise.resolve();

  constructor(
    private readonly spec: SandboxSpec,
    private readonly networks: PodNetworks,
    private readonly resources: HeldResources,
    private readonly forwarding: PortForwarding | undefined,
    private readonly logger: Logger,
  ) {}

  /** There is something to be connected to: a namespace without links has a `localhost` to forward from. */
  get exists(): boolean {
    return this.spec.netnsPath !== "" || this.current.links.length > 0;
  }

  /** That network is the host's. */
  get isHosts(): boolean {
    return this.exists && this.spec.netnsPath === "";
  }

  /** The network is gone, which is the sandbox's end; completes with the watching. */
  get lost$(): Observable<SandboxEvent> {
    return this.lost;
  }

  /** Makes nothing. Throws what {@link PodNetworks.read} throws. */
  async read(signal: AbortSignal): Promise<void> {
    this.current = await this.networks.read(this.spec, signal);
  }

  /** @param cgroups `cgroup.procs` files for processes that the network takes */
  async connect(vm: GuestVm, cgroups: readonly string[]): Promise<void> {
    await Promise.all([this.connectTo(vm, cgroups), this.forwarding?.start()]);
  }

  /**
   * Takes up what an earlier daemon has connected, if it has. A network that nobody can look at now is left as it is. Throws
   * NetworkLost if it is gone.
   */
  adopt(cgroups: readonly string[]): Promise<void> {
    const adopting = this.adoptSteps(cgroups);
    this.adopting = adopting.catch(() => undefined);
    return adopting;
  }

  private async adoptSteps(cgroups: readonly string[]): Promise<void> {
    const { id } = this.spec;
    const all = this.resources.outstanding.flatMap((each) => (each.kind === "network" ? [each] : []));
    // what a warm VM had ahead may still be on its way out
    const made = all.find((each) => each.id === id) ?? all[0];
    if (made === undefined) return;
    try {
      this.current = await this.networks.adopt(this.spec, made.id, cgroups);
      this.isAdopted = true;
    } catch (error) {
      if (error instanceof BlazarError && error.code === "NetworkLost") throw error;
      this.logger.warn({ err: error }, "changes of the pod's network are not followed");
    }
    await this.forwarding?.start();
  }

  /** Tells the guest what has changed meanwhile, and follows the network as {@link watch} does. */
  async goOn(apply: (network: PodNetwork) => Promise<void>): Promise<void> {
    if (!this.isAdopted) return;
    // the host's is not followed, and its helper has what the guest was told
    if (!this.isHosts) await this.tell(this.current, apply);
    this.watch(apply);
  }

  /** Lets go of the namespace, before {@link PodNetworks.disconnect}. May be called again. */
  async close(): Promise<void> {
    this.unwatch();
    await this.adopting;
    await this.forwarding?.close();
    await this.leaving;
  }

  private async connectTo(vm: GuestVm, cgroups: readonly string[]): Promise<void> {
    const { networkAhead } = vm;
    vm.networkAhead = undefined;
    if (networkAhead !== undefined && (await this.take(networkAhead, cgroups))) return;
    const { id, netnsPath } = this.spec;
    const from = { nics: networkAhead?.nics ?? vm.vm.nics };
    const connect = () => this.networks.connect(from, this.spec, this.current, cgroups);
    await this.resources.make({ kind: "network", id, netnsPath }, connect);
    if (networkAhead !== undefined) this.leave(networkAhead, vm.resources);
  }

  /** False: the VM's network is another one, or has failed. */
  private async take(ahead: NetworkAhead, cgroups: readonly string[]): Promise<boolean> {
    if (!this.isHosts || JSON.stringify(ahead.network) !== JSON.stringify(this.current)) return false;
    return (await this.networks.ahead?.give(ahead, this.spec, cgroups)) ?? false;
  }

  /** The VM's taps are elsewhere now. What fails here is in the log, and tried again when the sandbox goes. */
  private leave({ id: ahead }: NetworkAhead, held: HeldResources): void {
    this.leaving = held
      .undo((resource) => resource.kind === "network" && resource.id === ahead)
      .catch(() => undefined);
  }

  /**
   * Follows the network from now on, if it was connected. Its first look finds what has changed since it was read.
   * @param apply gives the guest what it shall have now
   */
  watch(apply: (network: PodNetwork) => Promise<void>): void {
    this.stopWatching ??= this.networks.watch(this.spec, this.current, (change) =>
      this.onChange(change, apply),
    );
  }

  private unwatch(): void {
    this.stopWatching?.();
    this.stopWatching = undefined;
    this.lost.complete();
  }

  /** Never rejects. */
  private async tell(network: PodNetwork, apply: (network: PodNetwork) => Promise<void>): Promise<void> {
    await apply(network).catch((error: unknown) =>
      this.logger.warn({ err: error }, "the guest could not take the change of its network"),
    );
  }

  private onChange(change: NetworkChange, apply: (network: PodNetwork) => Promise<void>): void {
    if (change.kind === "changed") {
      this.current = change.network;
      this.logger.info({ network: change.network }, "the pod's network has changed");
      void this.tell(change.network, apply);
      return;
    }
    const error = blazarError("NetworkLost", "keep the pod's network", change.reason, {
      subject: this.spec.id,
    });
    this.lost.next({ type: "network.lost", failure: failureOf(error) });
  }
}
