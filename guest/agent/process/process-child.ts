/**
 * The child's way from clone(2) to execve(2), for a container's first process and for execs.
 *
 * Runs in a copy of the agent's engine: synchronous system calls only, no loop, every failure told over the
 * launch socket. The order is runc's, so that errors come when and as containerd expects them.
 */
import * as sys from "sys";
import { check, errnoOf, failure } from "../../../native/runtime/check.ts";
import { blazarError } from "../../../src/contracts/errors.ts";
import type { GuestProcess } from "../../../src/protocol/guest/messages.ts";
import type { PreparedDevices } from "../prepared/prepared-devices.ts";
import { type ContainerRoot, enterRoot } from "../root/enter-root.ts";
import { MountPoints } from "../root/mount-points.ts";
import { commandError, findCommand } from "./command.ts";
import { applyCredentials, applyLimits, giveStdio, withHome } from "./credentials.ts";
import { LaunchChild } from "./launch.ts";
import { openTerminal } from "./terminal.ts";

/** The launch socket's number in the child, after stdio. */
const LAUNCH_FD = 3;
/** That of a prepared /dev, if there is one. */
const DEVICES_FD = 4;

/** What a child makes of itself. */
export interface ChildPlan {
  readonly process: GuestProcess;
  /** A new root, or the namespaces of a running container by its first process's pid. */
  readonly root: ContainerRoot | number;
  /** Descriptors for 0, 1 and 2. */
  readonly stdio: readonly number[];
  /** The child's end of the launch socket. */
  readonly launch: number;
  /** The child's pid as the agent counts it, where the agent cannot know. */
  readonly pid?: number;
  /** A /dev that may suit the root. */
  readonly devices?: PreparedDevices | undefined;
}

/** Never returns: ends in execve(2) or in the launch socket's report. */
export function runChild(plan: ChildPlan): never {
  const launch: LaunchChild = new LaunchChild(keepDescriptors(plan), plan.pid);
  const { args } = plan.process;
  try {
    const { devices } = plan;
    const { path, env } = prepare(plan, launch, devices && { ...devices, tree: DEVICES_FD });
    const result = sys.execve(path, args, env);
    launch.fail(commandError(args[0] ?? "", -result, ""));
  } catch (error) {
    launch.fail(error);
  }
}

/**
 * Keeps stdio, the launch socket and a prepared /dev and closes the rest: the agent's descriptors hold other containers'
 * pipes open. Returns the socket's new number.
 */
function keepDescriptors({ stdio, launch, devices }: ChildPlan): number {
  // out of the way first: any of them may have a number below 5 already
  const kept = devices === undefined ? [...stdio, launch] : [...stdio, launch, devices.tree];
  const high = kept.map((fd) => check(sys.fcntl(fd, F_DUPFD_CLOEXEC, HIGH_FD), "keep a descriptor"));
  for (const [target, fd] of high.entries()) sys.dup2(fd, target);
  sys.setCloexec(LAUNCH_FD, true);
  sys.closeRange(kept.length, 0xffff_ffff, 0);
  return LAUNCH_FD;
}

const F_DUPFD_CLOEXEC = 1030;
const HIGH_FD = 16;

function prepare(
  plan: ChildPlan,
  launch: LaunchChild,
  devices: PreparedDevices | undefined,
): { path: string; env: readonly string[] } {
  const { process, root } = plan;
  sys.umask(0);
  // until execve(2) this is a copy of the agent: nobody in the container may look into it
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
  applyCredentials(process);
  const path = findCommand(process.args[0] ?? "", env);
  launch.ready(master);
  launch.awaitStart();
  return { path, env };
}

/** Why a process could not be made: what fork(2) says once a PID namespace's first process has ended is told apart. */
export function birthError(cause: unknown): unknown {
  if (errnoOf(cause) !== sys.ENOMEM) return cause;
  const reason = "its first process has ended";
  return blazarError("ContainerNotRunning", "enter a PID namespace", reason, { cause });
}

/** Namespaces that differ from the agent's own; that of PIDs came with the fork. */
function joinContainer(pid: number): void {
  for (const name of ["cgroup", "mnt"]) {
    const path = `/proc/${pid}/ns/${name}`;
    const fd = sys.open(path, sys.O_RDONLY);
    if (fd < 0) throw failure(fd, "ContainerNotRunning", "join a container's namespace", name);
    check(sys.setns(fd, 0), "join a container's namespace", name);
    sys.close(fd);
    // after "mnt" there is no such path any more: it comes last
  }
}

/** As runc does it, a missing working directory is made for the first process only. */
function enterDirectory(cwd: string, points: MountPoints, create: boolean): void {
  const directory = cwd === "" ? "/" : cwd;
  let result = sys.chdir(directory);
  if (result === -sys.ENOENT && create) {
    points.inDirectory(points.make(directory, true), () => undefined);
    result = sys.chdir(directory);
  }
  if (result < 0) throw failure(result, "InvalidSpec", "enter the working directory", directory);
}
