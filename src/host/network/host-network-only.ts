/**
 * The networks that there are so far: the host's own, which takes no NIC. Pods with others are refused.
 */
import { blazarError } from "../../contracts/errors.ts";
import type { NetworkedPod, PodNetworks } from "../../contracts/network.ts";

export class HostNetworkOnly implements PodNetworks {
  admit({ id, netnsPath }: NetworkedPod): void {
    if (netnsPath === "") return;
    throw blazarError(
      "UnsupportedSpec",
      "create the sandbox",
      `pod networks (${netnsPath}) are not supported yet`,
      { subject: id, remedy: "set hostNetwork: true in the pod" },
    );
  }

  async connect(_vm: unknown, pod: NetworkedPod): Promise<void> {
    this.admit(pod);
  }

  /** It has connected none. */
  async disconnect(): Promise<void> {}
}
