/**
 * The PodNetworks port while there are no pod networks: a pod with hostNetwork gets no NIC, any other one is refused.
 */
import { blazarError } from "../../contracts/errors.ts";
import type { NetworkedPod, PodNetworks } from "../../contracts/network.ts";
import type { PodNetwork } from "../../contracts/pod-network.ts";

export class HostNetworkOnly implements PodNetworks {
  async read({ id, netnsPath }: NetworkedPod): Promise<PodNetwork> {
    if (netnsPath === "") return { links: [], routes: [], neighbours: [] };
    const reason = `pod networks (${netnsPath}) are not supported yet`;
    const about = { subject: id, remedy: "set hostNetwork: true in the pod" };
    throw blazarError("UnsupportedSpec", "create the sandbox", reason, about);
  }

  /** There is nothing to connect. */
  async connect(): Promise<void> {}

  watch(): () => void {
    return () => undefined;
  }

  /** Nothing was connected. */
  async disconnect(): Promise<void> {}
}
