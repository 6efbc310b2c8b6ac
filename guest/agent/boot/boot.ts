/**
 * Boots the guest: mounts, a root that pivot_root(2) accepts, cgroups and kernel modules.
 *
 * There are two parts, so that the agent can greet the host as early as possible. The first part does what the link
 * needs. The second does everything else, while the host prepares its first request. A restarted agent finds the first
 * part done, and ends what its predecessor has left running.
 */
import * as os from "os";
import * as std from "std";
import * as sys from "sys";
import { check } from "../../../native/runtime/check.ts";
import type { EventLoop } from "../../../native/runtime/event-loop.ts";
import { loadModule, readText } from "../../../native/runtime/files.ts";
import type { Logger } from "../../../native/runtime/log.ts";
import { nextPass } from "../../../native/runtime/promises.ts";
import { blazarError } from "../../../src/contracts/errors.ts";
import {
  keepControllersInUse,
  killAllCgroups,
  makePodCgroup,
  mountCgroups,
  removeAllCgroups,
} from "../container/cgroup.ts";
import { CONTAINERS, SANDBOX } from "../guest-paths.ts";
import { raiseGuestLimits } from "./guest-limits.ts";

const MODULES = "/modules";
/** The last module of the first part. */
const CONSOLE_MODULE = /^virtio[-_]console\.ko$/;
/** The last module that set-up, the share and the containers' roots need. */
const SHARE_MODULE = /^overlay\.ko$/;
const OPEN_FILES = 1_048_576;
const RESTARTS = "BLAZAR_ENGINE_RESTARTS";

/** When each step of the start was done, in milliseconds of the monotonic clock. */
export class Timeline {
  readonly steps: Record<string, number> = {};

  mark(step: string): void {
    this.steps[step] = Math.round(os.now());
  }
}

/** The first part. Returns the modules that are still to be loaded. Throws if the guest cannot be used at all. */
export function bootLink(timeline: Timeline): string[] {
  timeline.mark("agent");
  if (isRestart()) {
    // this engine's root is the initramfs itself; ".." leads up to the root that the predecessor mounted over it
    check(sys.chdir("/.."), "find the predecessor's root");
    check(sys.chroot("."), "enter the predecessor's root");
    killPredecessors();
    return [];
  }
  const order = modulesInOrder();
  leaveInitramfs();
  mount("proc", "/proc", sys.MS_NOSUID | sys.MS_NODEV | sys.MS_NOEXEC);
  mount("sysfs", "/sys", sys.MS_NOSUID | sys.MS_NODEV | sys.MS_NOEXEC);
  mount("devtmpfs", "/dev", sys.MS_NOSUID, "mode=755");
  timeline.mark("mounts");
  const last = order.findIndex((name) => CONSOLE_MODULE.test(name));
  for (const name of order.slice(0, last + 1)) loadModule(`${MODULES}/${name}`);
  timeline.mark("console");
  return order.slice(last + 1);
}

/** What the second part makes possible, step by step. */
export interface Readiness {
  /** The sandbox can be set up: there are cgroups, network cards, FUSE and overlayfs. */
  readonly share: Promise<void>;
  /** All modules are loaded. */
  readonly everything: Promise<void>;
}

/** The second part. Loads one module in each pass of the loop, so that requests are answered in between. */
export function bootRest(
  loop: EventLoop,
  logger: Logger,
  timeline: Timeline,
  modules: readonly string[],
): Readiness {
  const last = modules.findIndex((name) => SHARE_MODULE.test(name));
  const share = nextPass(loop)
    .then(() => prepareContainers(timeline))
    .then(() => loadModules(loop, logger, modules.slice(0, last + 1)))
    .then(() => timeline.mark("share"));
  const everything = share
    .then(() => loadModules(loop, logger, modules.slice(last + 1)))
    .then(() => timeline.mark("modules"));
  // requests that wait for these promises are answered with the error, too
  everything.catch((error: unknown) => logger.error("the guest could not be booted", { error }));
  return { share, everything };
}

function prepareContainers(timeline: Timeline): void {
  raiseGuestLimits();
  sys.prlimit(0, sys.RLIMIT_NOFILE, OPEN_FILES, OPEN_FILES);
  sys.writeFile("/proc/self/oom_score_adj", "-999", sys.O_WRONLY);
  if (!isRestart()) {
    mount("tmpfs", "/run", sys.MS_NOSUID | sys.MS_NODEV, "mode=755");
    mountCgroups();
  }
  keepControllersInUse();
  makePodCgroup();
  for (const path of [SANDBOX, CONTAINERS]) sys.mkdir(path, 0o755);
  timeline.mark("cgroups");
}

async function loadModules(loop: EventLoop, logger: Logger, modules: readonly string[]): Promise<void> {
  for (const name of modules) {
    await nextPass(loop);
    try {
      loadModule(`${MODULES}/${name}`);
    } catch (error) {
      // the guest works without it; a request that needs the device will fail and say so
      logger.warn("a kernel module could not be loaded", { name, error });
    }
  }
}

/** Throws where there is no list, before anything is mounted: somebody has started the agent by hand, as root on a host. */
function modulesInOrder(): string[] {
  const path = `${MODULES}/order`;
  if (typeof sys.lstat(path) === "number") {
    throw blazarError(
      "InvalidArgument",
      "boot the guest",
      "there is no such file: this is not the initramfs of a guest",
      { subject: path, remedy: "the agent is started by the guest's kernel, never by hand" },
    );
  }
  return readText(path)
    .split("\n")
    .filter((name) => name !== "");
}

function isRestart(): boolean {
  return (std.getenv(RESTARTS) ?? "0") !== "0";
}

/** Moves a bind mount of the initramfs over the initramfs, because pivot_root(2) refuses to leave an initramfs. */
function leaveInitramfs(): void {
  check(sys.mount("/", "/mnt", null, sys.MS_BIND), "bind the initramfs");
  check(sys.chdir("/mnt"), "enter the bound initramfs");
  check(sys.mount(".", "/", null, sys.MS_MOVE), "move the bound initramfs");
  check(sys.chroot("."), "enter the moved initramfs");
  check(sys.chdir("/"), "enter the moved initramfs");
}

function mount(type: string, target: string, flags: number, data: string | null = null): void {
  check(sys.mount(type, target, type, flags, data), "mount", target);
}

/** Ends a dead agent's containers, which nobody can talk to any more. The new session in the hello tells the host. */
function killPredecessors(): void {
  killAllCgroups();
  // every process but PID 1 and this one
  sys.kill(-1, sys.SIGKILL);
  const mounts = readText("/proc/self/mounts", 1 << 22)
    .split("\n")
    .map((line) => line.split(" ")[1] ?? "")
    .filter((target) => target.startsWith("/run/"));
  for (const target of mounts.reverse()) sys.umount2(target, sys.MNT_DETACH);
  removeAllCgroups();
}
