/**
 * Warm VMs with the host's network: connected to it, and their guests told, before a pod with hostNetwork comes.
 *
 * The network is in the VM's own journal, under the VM's id. A VM that could not be connected is of no use, as its taps may be
 * gone; no other one is connected for a while then.
 */
import type { Deadlines } from "../../../contracts/deadlines.ts";
import type { Logger } from "../../../contracts/logger.ts";
import type { NetworkAhead, PodNetworks } from "../../../contracts/network.ts";
import type { PodNetwork } from "../../../contracts/pod-network.ts";
import { monotonicNow } from "../../../lib/deadline-timer.ts";
import type { GuestVm } from "../../vm/guest-vm.ts";

export interface NetworksAheadPorts {
  readonly networks: Pick<PodNetworks, "ahead">;
  readonly deadlines: Pick<Deadlines, "guestRequest">;
  readonly logger: Logger;
}

/** After a failure. */
const REST_MS = 60_000;

/** It is connected to exactly this, or to nothing if there is nothing to be connected to. */
export function isConnectedTo({ networkAhead }: GuestVm, network: PodNetwork | undefined): boolean {
  return textOf(networkAhead?.network) === textOf(network);
}

function textOf(network: PodNetwork | undefined): string {
  return network === undefined ? "" : JSON.stringify(network);
}

export class NetworksAheadOfPods {
  private restUntil = 0;

  constructor(private readonly ports: NetworksAheadPorts) {}

  /** Connects a VM that nobody owns, if that can be. Throws what the connecting or the guest says. */
  async connect(vm: GuestVm, signal: AbortSignal): Promise<void> {
    const { networks, logger } = this.ports;
    const { ahead } = networks;
    if (ahead === undefined || vm.vm.nics.length === 0 || monotonicNow() < this.restUntil) return;
    try {
      const network = await ahead.read();
      if (network.links.length === 0) return;
      await this.connectTo(network, vm, ahead.connect, signal);
    } catch (error) {
      this.restUntil = monotonicNow() + REST_MS;
      logger.warn({ vm: vm.id, err: error }, "a warm VM could not be connected to the host's network");
      throw error;
    }
  }

  private async connectTo(
    network: PodNetwork,
    vm: GuestVm,
    connect: NonNullable<PodNetworks["ahead"]>["connect"],
    signal: AbortSignal,
  ): Promise<void> {
    let made: NetworkAhead | undefined;
    await vm.resources.make({ kind: "network", id: vm.id, netnsPath: "" }, async () => {
      made = await connect(vm.vm, vm.id, network);
    });
    const limits = { deadlineMs: this.ports.deadlines.guestRequest, signal };
    await vm.liveLink.request("network.apply", { network }, limits);
    vm.networkAhead = made;
  }
}
