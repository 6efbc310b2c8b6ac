/**
 * How a child of the agent becomes a container's first process, by one more process that takes its place.
 *
 * The child enters what a process cannot enter by itself: a PID namespace, a cgroup, and the pod's user namespace. Before
 * that last step it opens what only the guest's own root may open. Then the first process is made by `handOver`, in the
 * child's memory, as a child of the agent.
 */
import * as sys from "sys";
import { check } from "../../../native/runtime/check.ts";
import type { GuestProcess, GuestSeccomp } from "../../../src/protocol/guest/messages.ts";
import type { PreparedDevices } from "../prepared/prepared-devices.ts";
import { type ContainerRoot, openMappedSources, type RootSources } from "../root/root-sources.ts";
import type { PodDescriptors } from "../sandbox/user-namespace.ts";
import { LaunchChild } from "./launch.ts";
import type { ContainerNamespaces } from "./namespaces.ts";
import { birthError, keepDescriptors, prepareForNamespace, runChild } from "./process-child.ts";

export interface FirstProcess {
  readonly process: GuestProcess;
  readonly seccomp: GuestSeccomp | undefined;
  readonly root: ContainerRoot;
  readonly namespaces: ContainerNamespaces;
  /** Descriptors, here and below. */
  readonly stdio: readonly number[];
  readonly launch: number;
  readonly cgroup: number;
  /** The pod's user namespace and what belongs to it, if the container is in it. */
  readonly pod: PodDescriptors | undefined;
  readonly pidNamespace: "new" | number;
}

/** Never returns. `devices` is a prepared /dev, if there is one. */
export function becomeFirstProcess(order: FirstProcess, devices: PreparedDevices | undefined): never {
  const { process, seccomp, root, namespaces, stdio, launch, cgroup, pod, pidNamespace } = order;
  const plan = { process, seccomp, root, namespaces };
  if (pod !== undefined) return becomeMapped(order, pod);
  const pid = handOver(cgroup, pidNamespace, new LaunchChild(launch, undefined));
  runChild({ ...plan, stdio, launch, pid, devices });
}

/** The same in a user namespace. Closes a prepared /dev, whose owner would be nobody there. */
function becomeMapped({ pidNamespace, ...order }: FirstProcess, pod: PodDescriptors): never {
  const { process, seccomp, root, namespaces } = order;
  const shared = pidNamespace === "new" ? [] : [pidNamespace];
  const given = [pod.ipc, pod.uts, pod.network, pod.user, ...shared];
  const stdioAndLaunch = [...order.stdio, order.launch];
  keepDescriptors([...stdioAndLaunch, order.cgroup, ...given]);
  const [stdio, launch, cgroup] = [[0, 1, 2], stdioAndLaunch.length - 1, stdioAndLaunch.length];
  const own = given.map((_, index) => cgroup + 1 + index);
  const child = new LaunchChild(launch, undefined);
  const sources = enterPod(root, () => prepareForNamespace(process, namespaces), own, child);
  const pid = handOver(cgroup, pidNamespace === "new" ? "new" : "entered", child);
  sys.close(cgroup);
  runChild({ process, seccomp, root, namespaces, stdio, launch, pid, sources });
}

/** Enters namespaces, the user namespace last of those that count now; a PID namespace is for children only. */
function enterPod(
  root: ContainerRoot,
  prepare: () => void,
  namespaces: readonly number[],
  launch: LaunchChild,
): RootSources {
  try {
    const sources = openMappedSources(root);
    prepare();
    const [ipc, uts, network, user, pid] = namespaces;
    for (const fd of [pid, ipc, uts, network, user]) {
      if (fd === undefined) continue;
      check(sys.setns(fd, 0), "enter the pod's namespaces");
      sys.close(fd);
    }
    return sources;
  } catch (error) {
    return launch.fail(error);
  }
}

function handOver(cgroup: number, pidNamespace: "new" | "entered" | number, launch: LaunchChild): number {
  try {
    if (typeof pidNamespace === "number")
      check(sys.setns(pidNamespace, sys.CLONE_NEWPID), "enter a PID namespace");
    const flags = sys.CLONE_NEWNS | (pidNamespace === "new" ? sys.CLONE_NEWPID : 0);
    return check(sys.handOver(flags, cgroup), "make the container's first process");
  } catch (error) {
    return launch.fail(birthError(error));
  }
}
