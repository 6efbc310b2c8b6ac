/**
 * What a child does between clone(2) and execve(2), for a container's first process and for execs.
 *
 * Runs in a copy of the agent's engine: synchronous system calls only, no loop. It reports every failure over the launch
 * socket. Its steps have runc's order, so that containerd gets the errors that it expects.
 */
import * as sys from "sys";
import { check, errnoOf, failure } from "../../../native/runtime/check.ts";
import { blazarError } from "../../../src/contracts/errors.ts";
import type { GuestProcess, GuestSeccomp } from "../../../src/protocol/guest/messages.ts";
import type { PreparedDevices } from "../prepared/prepared-devices.ts";
import { enterRoot, sealRoot } from "../root/enter-root.ts";
import { MountPoints } from "../root/mount-points.ts";
import { type ContainerRoot, openSources, type RootSources } from "../root/root-sources.ts";
import { outsideId } from "../sandbox/user-namespace.ts";
import { commandError, findCommand } from "./command.ts";
import {
  applyCredentials,
  applyLimits,
  giveStdio,
  type LastPrivileges,
  raiseLimits,
  withHome,
} from "./credentials.ts";
import { LaunchChild } from "./launch.ts";
import {
  becomeNamespaceRoot,
  type ContainerNamespaces,
  joinContainer,
  makeOwnNamespaces,
} from "./namespaces.ts";
import { openTerminal } from "./terminal.ts";

/** The launch socket's number in the child, after stdio. */
const LAUNCH_FD = 3;
/** The number of a prepared /dev in the child, if there is one. */
const DEVICES_FD = 4;
/** Numbers from here on are out of the way while the child's descriptors are put in order. */
const HIGH_FD = 32;

/** What a child shall become. */
export interface ChildPlan {
  readonly process: GuestProcess;
  readonly seccomp: GuestSeccomp | undefined;
  /** A new root, or the namespaces of a running container by its first process's pid. */
  readonly root: ContainerRoot | number;
  readonly namespaces: ContainerNamespaces;
  /**
   * The sources of the root's mounts, for a process that is in its user namespace already. Its descriptors are in order then:
   * stdio, the launch socket, and the sources.
   */
  readonly sources?: RootSources;
  /** Descriptors for 0, 1 and 2. */
  readonly stdio: readonly number[];
  /** The child's end of the launch socket. */
  readonly launch: number;
  /** The child's pid in the agent's PID namespace, where the agent does not know it. */
  readonly pid?: number;
  /** A prepared /dev, which may suit the root. */
  readonly devices?: PreparedDevices | undefined;
}

/** Never returns: executes the command, or reports over the launch socket why it cannot. */
export function runChild(plan: ChildPlan): never {
  const launch: LaunchChild = new LaunchChild(ordered(plan), plan.pid);
  const { args } = plan.process;
  try {
    const devices = usableDevices(plan);
    const { path, env, privileges } = prepare(plan, launch, devices && { ...devices, tree: DEVICES_FD });
    privileges.finish();
    const result = sys.execve(path, args, env);
    launch.fail(commandError(args[0] ?? "", -result, ""));
  } catch (error) {
    launch.fail(error);
  }
}

/**
 * Keeps stdio, the launch socket and a prepared /dev, and closes all other descriptors: they hold other containers' pipes
 * open. Returns the socket's new number.
 */
function ordered({ stdio, launch, devices, sources }: ChildPlan): number {
  if (sources === undefined)
    keepDescriptors(devices === undefined ? [...stdio, launch] : [...stdio, launch, devices.tree]);
  return LAUNCH_FD;
}

/** A prepared /dev has the mqueue of the sandbox's IPC namespace. */
function usableDevices({ devices, namespaces }: ChildPlan): PreparedDevices | undefined {
  if (devices === undefined || !namespaces.own.includes("ipc")) return devices;
  sys.close(DEVICES_FD);
  return undefined;
}

/** Gives descriptors the numbers from 0 on, in this order, and closes all others. Those after stdio end with execve(2). */
export function keepDescriptors(kept: readonly number[]): void {
  // first to high numbers: any of them may have one of the low numbers already
  const high = kept.map((fd) => check(sys.fcntl(fd, sys.F_DUPFD_CLOEXEC, HIGH_FD), "keep a descriptor"));
  for (const [target, fd] of high.entries()) {
    sys.dup2(fd, target);
    if (target >= LAUNCH_FD) sys.setCloexec(target, true);
  }
  sys.closeRange(kept.length, 0xffff_ffff, 0);
}

/** What a process needs from outside of its user namespace: the ownership of its stdio, and the right to its limits. */
export function prepareForNamespace(process: GuestProcess, { maps }: ContainerNamespaces): void {
  if (maps === undefined) return;
  giveStdio(outsideId(maps.uids, process.uid, "process.user.uid"));
  raiseLimits(process);
}

function prepare(
  plan: ChildPlan,
  launch: LaunchChild,
  devices: PreparedDevices | undefined,
): { path: string; env: readonly string[]; privileges: LastPrivileges } {
  const { process, seccomp, root, namespaces, sources } = plan;
  sys.umask(0);
  // until execve(2) this is a copy of the agent, and no process of the container may look into its memory
  sys.prctl(sys.PR_SET_DUMPABLE, 0);
  check(sys.setsid(), "start a session");
  if (typeof root === "number") {
    prepareForNamespace(process, namespaces);
    joinContainer(root, namespaces);
  }
  if (namespaces.maps !== undefined) becomeNamespaceRoot();
  if (typeof root !== "number") {
    makeOwnNamespaces(namespaces);
    enterRoot(root, sources ?? openSources(root, devices));
  }
  const isFirst = typeof root !== "number";
  const points = new MountPoints();
  const master = process.terminal
    ? openTerminal(process.rows, process.columns, isFirst ? points : undefined)
    : -1;
  applyLimits(process);
  enterDirectory(process.cwd, points, isFirst);
  if (typeof root !== "number") sealRoot(root);
  if (namespaces.maps === undefined && process.uid !== 0) giveStdio(process.uid);
  const env = withHome(process.env, process.uid);
  const privileges = applyCredentials(process, seccomp);
  const path = findCommand(process.args[0] ?? "", env);
  launch.ready(master);
  launch.awaitStart();
  return { path, env, privileges };
}

/** The error of a failed clone. ENOMEM is how clone(2) says that the PID namespace's first process has ended. */
export function birthError(cause: unknown): unknown {
  if (errnoOf(cause) !== sys.ENOMEM) return cause;
  const reason = "the first process of the namespace has ended";
  return blazarError("ContainerNotRunning", "enter a PID namespace", reason, { cause });
}

/** Enters the working directory. As runc does, it makes a missing one for the first process only. */
function enterDirectory(cwd: string, points: MountPoints, create: boolean): void {
  const directory = cwd === "" ? "/" : cwd;
  let result = sys.chdir(directory);
  if (result === -sys.ENOENT && create) {
    points.inDirectory(points.make(directory, true), directory, () => undefined);
    result = sys.chdir(directory);
  }
  if (result < 0) throw failure(result, "InvalidSpec", "enter the working directory", directory);
}
