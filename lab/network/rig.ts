/**
 * A private node in a {@link LabNetwork}, with the image that the tests' pods run.
 */
import { type Busybox, pauseImage } from "../images/busybox.ts";
import type { NetworkNamespace } from "../node/network-namespace.ts";
import { removeAllPods } from "../node/pods.ts";
import { PrivateNode, type PrivateNodeOptions } from "../node/private-node.ts";
import { LabNetwork } from "./lab-network.ts";

/** What the rig's pods run: busybox, and netprobe in /bin. */
export const IMAGE = "localhost/blazar/network:latest";

export interface NetworkRigOptions
  extends Omit<PrivateNodeOptions, "network" | "cniPlugins" | "containerdConfig" | "prefix"> {
  readonly busybox: Busybox;
}

export class NetworkRig {
  private constructor(
    readonly network: LabNetwork,
    readonly node: PrivateNode,
  ) {}

  static async start({ busybox, ...options }: NetworkRigOptions): Promise<NetworkRig> {
    const network = await LabNetwork.make();
    try {
      const node = await PrivateNode.start({
        ...options,
        ...network.nodeOptions(options.program),
        prefix: "blazar-net-node-",
      });
      const rig = new NetworkRig(network, node);
      try {
        const image = await network.image(IMAGE, busybox);
        await node.containerd.importImage(image);
        await node.containerd.importImage(pauseImage(image));
        return rig;
      } catch (error) {
        await node.stop();
        throw error;
      }
    } catch (error) {
      await network.end();
      throw error;
    }
  }

  /** The node's own network. */
  get host(): NetworkNamespace {
    return this.network.host;
  }

  /** Another machine of the LAN. */
  get outside(): NetworkNamespace {
    return this.network.outside;
  }

  /** {@link LabNetwork.probe} */
  probe(where: NetworkNamespace, ...args: readonly string[]): Promise<string> {
    return this.network.probe(where, ...args);
  }

  /** {@link LabNetwork.serve} */
  serve(where: NetworkNamespace, ...args: readonly string[]): Promise<() => Promise<string>> {
    return this.network.serve(where, ...args);
  }

  async stop(): Promise<void> {
    try {
      await removeAllPods(this.node.cri).catch(() => undefined);
      await this.node.stop();
    } finally {
      await this.network.end();
    }
  }
}
