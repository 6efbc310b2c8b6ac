/** What connects a sandbox's VM to the pod's network namespace (contracts/network.ts). */
import { object, oneOf, string } from "../../../protocol/wire/json.ts";
import type { ResourceKind } from "./kind.ts";

export interface NetworkResource {
  readonly kind: "network";
  /** The sandbox's id. */
  readonly id: string;
  readonly netnsPath: string;
}

export const network: ResourceKind<NetworkResource> = {
  describe: ({ id, netnsPath }) => `network of ${id} (${netnsPath})`,
  names: ({ id, netnsPath }) =>
    netnsPath === "" ? [`uplink ${id}`, `process ${id}.pasta`] : [`network ${netnsPath}`],
  outlivesBoot: false,
  check: object({ kind: oneOf("network"), id: string, netnsPath: string }),
  // it lies inside the pod's namespace, where only a worker may look
  observe: async () => "unknown",
  undo: (resource, { networks }) => networks.disconnect(resource),
};
