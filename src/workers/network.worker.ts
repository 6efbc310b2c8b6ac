/**
 * Worker entry: reads networks of pods, joins VMs to them and takes that apart; takes connections to their localhost.
 *
 * Its functions are the tasks of a piscina pool, called by name with plain data; {@link NetworkTasks} lists them. A task goes
 * into a pod's network namespace on its own thread, and comes back. Must not be terminated in the middle of a task.
 */
import { type LoopbackListener, takeLocalhost as take } from "./loopback/listener.ts";
import { type JoinedLink, type Joint, joinTaps as join, leaveTaps as leave } from "./network/join.ts";
import type { NamespaceIdentity } from "./network/namespaces.ts";
import {
  lookAgain as look,
  type NetworkLook,
  type NetworkReading,
  readNetwork as read,
} from "./network/read.ts";
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
  lookAgain(input: {
    readonly path: string;
    readonly namespace: NamespaceIdentity;
    readonly joined: readonly JoinedLink[];
  }): Outcome<NetworkLook>;
  /** The descriptors are the caller's from then on. */
  takeLocalhost(input: { readonly path: string }): Outcome<LoopbackListener>;
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

export const takeLocalhost: NetworkTasks["takeLocalhost"] = ({ path }) =>
  settle("HostResource", "take connections to localhost", path, () => take(path));
