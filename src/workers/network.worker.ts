/**
 * Worker entry: reads networks of pods, joins VMs to them and takes that apart.
 *
 * Its functions are the tasks of a piscina pool, called by name with plain data; {@link NetworkTasks} lists them. A task goes
 * into a pod's network namespace on its own thread, and comes back. Must not be terminated in the middle of a task.
 */

import type { HostPlan } from "../contracts/host-networks.ts";
import { type JoinedLink, type Joint, joinTaps as join, leaveTaps as leave } from "./network/join.ts";
import type { NamespaceIdentity } from "./network/namespaces.ts";
import {
  lookAgain as look,
  type NetworkLook,
  type NetworkReading,
  readNetwork as read,
} from "./network/read.ts";
import {
  joinUplink as joinToUplink,
  readHostNetwork as readHost,
  type UplinkJoint,
} from "./network/uplink.ts";
import { type Outcome, settle } from "./outcome.ts";

/** The tasks by name, as the pool calls them. */
export interface NetworkTasks {
  readNetwork(input: { readonly path: string }): Outcome<NetworkReading>;
  /** Joins all of them, or none. */
  joinTaps(input: {
    readonly path: string;
    readonly joints: readonly Joint[];
  }): Outcome<readonly JoinedLink[]>;
  leaveTaps(input: { readonly path: string }): Outcome<undefined>;
  /** The one that a helper would have; undefined if there is nothing to have. */
  readHostNetwork(input: { readonly path: string }): Outcome<HostPlan | undefined>;
  joinUplink(input: UplinkJoint): Outcome<undefined>;
  lookAgain(input: {
    readonly path: string;
    readonly namespace: NamespaceIdentity;
    readonly joined: readonly JoinedLink[];
  }): Outcome<NetworkLook>;
}

export const readNetwork: NetworkTasks["readNetwork"] = ({ path }) =>
  settle("HostResource", "read a pod's network", path, () => read(path));

export const joinTaps: NetworkTasks["joinTaps"] = ({ path, joints }) =>
  settle("HostResource", "join a VM to a pod's network", path, () => join(path, joints));

export const leaveTaps: NetworkTasks["leaveTaps"] = ({ path }) =>
  settle("HostResource", "take a VM off a pod's network", path, () => {
    leave(path);
    return undefined;
  });

export const lookAgain: NetworkTasks["lookAgain"] = ({ path, namespace, joined }) =>
  settle("HostResource", "follow a pod's network", path, () => look(path, namespace, joined));

export const readHostNetwork: NetworkTasks["readHostNetwork"] = ({ path }) =>
  settle("HostResource", "read the host's network", path, () => readHost(path));

export const joinUplink: NetworkTasks["joinUplink"] = (input) =>
  settle("HostResource", "join a VM to the host's network", input.path, () => {
    joinToUplink(input);
    return undefined;
  });
