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
import { type ContainerRoot, enterRoot } from "../root/enter-root.ts";
import { MountPoints } from "../root/mount-points.ts";
import { commandError, findCommand } from "./command.ts";
import { applyCredentials, applyLimits, giveStdio, type LastPrivileges, withHome } from "./credentials.ts";
import { LaunchChild } from "./launch.ts";
import { openTerminal } from "./terminal.ts";

/** The launch socket's number in the child, after stdio. */
const LAUNCH_FD = 3;
/** The number of a prepared /dev in the child, if there is one. */
const DEVICES_FD = 4;
/** Numbers from here on are out of the way while the child's descriptors are put in order. */
const HIGH_FD = 16;

/** What a child shall become. */
export interface ChildPlan {
  readonly process: GuestProcess;
  readonly seccomp: GuestSeccomp | undefined;
  /** A new root, or the namespaces of a running container by its first process's pid. */
  readonly root: ContainerRoot | number;
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
  const launch: LaunchChild = new LaunchChild(keepDescriptors(plan), plan.pid);
  const { args } = plan.process;
  try {
    const { devices } = plan;
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
function keepDescriptors({ stdio, launch, devices }: ChildPlan): number {
  // first to high numbers: any of them may have a number below 5 already
  const kept = devices === undefined ? [...stdio, launch] : [...stdio, launch, devices.tree];
  const high = kept.map((fd) => check(sys.fcntl(fd, sys.F_DUPFD_CLOEXEC, HIGH_FD), "keep a descriptor"));
  for (const [target, fd] of high.entries()) sys.dup2(fd, target);
  sys.setCloexec(LAUNCH_FD, true);
  sys.closeRange(kept.length, 0xffff_ffff, 0);
  return LAUNCH_FD;
}

function prepare(
  plan: ChildPlan,
  launch: LaunchChild,
  devices: PreparedDevices | undefined,
): { path: string; env: readonly string[]; privileges: LastPrivileges } {
  const { process, seccomp, root } = plan;
  sys.umask(0);
  // until execve(2) this is a copy of the agent, and no process of the container may look into its memory
  sys.prctl(sys.PR_SET_DUMPABLE, 0);
  check(sys.setsid(), "start a session");
  if (typeof root === "number") joinContainer(root);
  else {
    check(sys.unshare(sys.CLONE_NEWCGROUP), "make a cgroup namespace");
    enterRoot(root, devices);
  }
  const isFirst = typeof root !== "number";
  const points = new MountPoints();
  const master = process.terminal
    ? openTerminal(process.rows, process.columns, isFirst ? points : undefined)
    : -1;
  applyLimits(process);
  enterDirectory(process.cwd, points, isFirst);
  giveStdio(process.uid);
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

/** Joins the namespaces that differ from the agent's. The child was cloned into the PID namespace already. */
function joinContainer(pid: number): void {
  for (const name of ["cgroup", "mnt"]) {
    const path = `/proc/${pid}/ns/${name}`;
    const fd = sys.open(path, sys.O_RDONLY);
    if (fd < 0) throw failure(fd, "ContainerNotRunning", "join a container's namespace", name);
    check(sys.setns(fd, 0), "join a container's namespace", name);
    sys.close(fd);
    // "mnt" comes last: after it, the agent's /proc is out of reach
  }
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
