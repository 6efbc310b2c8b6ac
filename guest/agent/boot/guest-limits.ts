/**
 * Limits of the whole guest: sysctl(8), getrlimit(2).
 *
 * The kernel takes the defaults of these from the machine's memory, which is small here: 1,500 threads in a VM of 256 MB.
 * A pod would have met the limits of its host, where systemd and a large memory make them generous. What bounds a container
 * is its cgroup, as on a host.
 */
import * as sys from "sys";

/** As systemd sets them, or as the kernel itself does with much memory. The highest descriptor comes before the sum. */
const SYSCTLS: readonly [path: string, value: string][] = [
  ["fs/nr_open", "1073741816"],
  ["fs/file-max", "9223372036854775807"],
  ["fs/inotify/max_user_watches", "1048576"],
  ["fs/epoll/max_user_watches", "4194304"],
  ["kernel/pid_max", "4194304"],
  ["kernel/threads-max", "1073741823"],
  ["user/max_user_namespaces", "127224"],
];
/** By number of processes and of pending signals, which follow from the number of threads at boot. */
const UNLIMITED = [sys.RLIMIT_NPROC, sys.RLIMIT_SIGPENDING];

/** Raises them. A kernel that lacks one goes without. */
export function raiseGuestLimits(): void {
  for (const [path, value] of SYSCTLS) sys.writeFile(`/proc/sys/${path}`, value, sys.O_WRONLY);
  for (const resource of UNLIMITED) sys.prlimit(0, resource, sys.RLIM_INFINITY, sys.RLIM_INFINITY);
}
