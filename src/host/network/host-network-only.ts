/**
 * The PodNetworks port while there are no pod networks: a pod with hostNetwork gets no NIC, any other one is refused.
 */
import { blazarError } from "../../contracts/errors.ts";
import type { NetworkedPod, PodNetworks } from "../../contracts/network.ts";

export class HostNetworkOnly implements PodNetworks {
  admit({ id, netnsPath }: NetworkedPod): void {
    if (netnsPath === "") return;
    const reason = `pod networks (${netnsPath}) are not supported yet`;
    const about = { subject: id, remedy: "set hostNetwork: true in the pod" };
    throw blazarError("UnsupportedSpec", "create the sandbox", reason, about);
  }

  async connect(_vm: unknown, pod: NetworkedPod): Promise<void> {
    this.admit(pod);
  }

  /** Nothing was connected. */
  async disconnect(): Promise<void> {}
}
