/**
 * Tasks of workers about pods' networks: reading them, joining VMs to them, taking that apart; taking connections to localhost.
 *
 * {@link NetworkTasks} lists them; the worker entry rootfs.worker.ts has them, because it keeps a thread anyway. A task goes
 * into a pod's network namespace on its own thread, and comes back. Must not be terminated in the middle of a task.
 */
import type { HostPlan } from "../../contracts/host-networks.ts";
import type { PodNetwork } from "../../contracts/pod-network.ts";
import type { VmNic } from "../../contracts/vm.ts";
import { type LoopbackListener, takeLocalhost as take } from "../loopback/listener.ts";
import { type Outcome, settle, settleLater } from "../outcome.ts";
import {
  hasDeadJoint as dead,
  type Joined,
  type Joint,
  joinTaps as join,
  leaveTaps as leave,
} from "./join.ts";
import {
  type FoundNetwork,
  findNetwork as find,
  lookAgain as look,
  type NetworkLook,
  readNetwork as read,
} from "./read.ts";
import { joinUplink as joinToUplink, readHostNetwork as readHost, type UplinkJoint } from "./uplink.ts";

/** The tasks by name, as the pool calls them. */
export interface NetworkTasks {
  readNetwork(input: { readonly path: string }): Outcome<PodNetwork>;
  /** Joins all of them, or none. */
  joinTaps(input: { readonly path: string; readonly joints: readonly Joint[] }): Promise<Outcome<Joined>>;
  leaveTaps(input: { readonly path: string }): Outcome<undefined>;
  hasDeadJoint(input: { readonly path: string }): Outcome<boolean>;
  /** The network that a helper would have; undefined if there is nothing to have. */
  readHostNetwork(input: { readonly path: string }): Outcome<HostPlan | undefined>;
  /** Gives where the VM's tap is from then on. */
  joinUplink(input: UplinkJoint): Promise<Outcome<VmNic>>;
  /** What a pod is joined to, found by what was made for it. */
  lookForTaps(input: { readonly path: string }): Outcome<FoundNetwork>;
  lookAgain(input: Joined & { readonly path: string }): Outcome<NetworkLook>;
  /** The descriptors are the caller's from then on. */
  takeLocalhost(input: { readonly path: string }): Outcome<LoopbackListener>;
}

export const readNetwork: NetworkTasks["readNetwork"] = ({ path }) =>
  settle("HostResource", "read a pod's network", path, () => read(path));

export const joinTaps: NetworkTasks["joinTaps"] = ({ path, joints }) =>
  settleLater("HostResource", "join a VM to a pod's network", path, () => join(path, joints));

export const leaveTaps: NetworkTasks["leaveTaps"] = ({ path }) =>
  settle("HostResource", "take a VM off a pod's network", path, () => {
    leave(path);
    return undefined;
  });

export const lookForTaps: NetworkTasks["lookForTaps"] = ({ path }) =>
  settle("HostResource", "look for a VM in a pod's network", path, () => find(path));

export const hasDeadJoint: NetworkTasks["hasDeadJoint"] = ({ path }) =>
  settle("HostResource", "look at a network namespace", path, () => dead(path));

export const lookAgain: NetworkTasks["lookAgain"] = ({ path, ...joined }) =>
  settle("HostResource", "follow a pod's network", path, () => look(path, joined));

export const readHostNetwork: NetworkTasks["readHostNetwork"] = ({ path }) =>
  settle("HostResource", "read the host's network", path, () => readHost(path));

export const joinUplink: NetworkTasks["joinUplink"] = (input) =>
  settleLater("HostResource", "join a VM to the host's network", input.path, () => joinToUplink(input));

export const takeLocalhost: NetworkTasks["takeLocalhost"] = ({ path }) =>
  settle("HostResource", "take connections to localhost", path, () => take(path));
