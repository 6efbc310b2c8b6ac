/** The PodNetworks port for pods that get no network: their guests have nothing but `lo`. */
import type { PodNetworks } from "../../contracts/network.ts";
import { NO_NETWORK, type PodNetwork } from "../../contracts/pod-network.ts";

export class NoNetwork implements PodNetworks {
  async read(): Promise<PodNetwork> {
    return NO_NETWORK;
  }

  /** There is nothing to connect. */
  async connect(): Promise<void> {}

  async adopt(): Promise<PodNetwork> {
    return NO_NETWORK;
  }

  watch(): () => void {
    return () => undefined;
  }

  /** Nothing was connected. */
  async disconnect(): Promise<void> {}
}
