/**
 * What no key can tell by itself: whether the values of a configuration make sense together, and on this host.
 *
 * Each rule names the keys and says what has to hold between them. Values that are found at run time are not looked at.
 */
import { normalize } from "node:path";
import type { Config } from "./schema.ts";

/** What the rules have to know of the host. */
export interface ConfiguredHost {
  readonly memoryBytes: number;
}

/** unix(7): sun_path has 108 bytes, the last is NUL. */
const LONGEST_SOCKET_PATH = 107;
/** The longest path of a socket below the state directory: `vm/`, twelve digits, and the name of a share's. */
const LONGEST_BELOW_STATE = "/vm/0123456789ab/volumes.sock".length;
/** Directories whose content is the kernel's, or stands for something else each time. */
const KERNELS_OWN = ["/proc", "/sys", "/dev"];

/** Directories that others have something in (hier(7)). Blazar makes its own below them. */
const SHARED = new Set([
  ...["/home", "/media", "/mnt", "/opt", "/root", "/run", "/srv", "/tmp"],
  ...["/var", "/var/cache", "/var/lib", "/var/log", "/var/run", "/var/tmp"],
]);
/** Those that belong to the system, with all below. */
const SYSTEMS = ["/bin", "/boot", "/etc", "/lib", "/lib64", "/sbin", "/usr"];

/** The first thing that makes no sense, as a sentence; undefined if there is none. */
export function nonsenseOf(config: Config, host: ConfiguredHost): string | undefined {
  return directoryProblem(config) ?? vmmProblem(config, host) ?? poolProblem(config);
}

function directoryProblem({ daemon, storage, template, image }: Config): string | undefined {
  const directories = {
    "daemon.state_directory": daemon.state_directory,
    "storage.scratch_directory": storage.scratch_directory,
    "template.directory": template.directory,
    "image.directory": image.directory,
  };
  for (const [key, path] of Object.entries(directories)) {
    const shown = `${key} = ${JSON.stringify(path)}`;
    if (normalize(path).replace(/(?<=.)\/$/, "") !== path.replace(/(?<=.)\/$/, ""))
      return `${shown}: it must be written without "." and "..", and with single slashes`;
    const plain = path.replace(/\/$/, "");
    const systems = SYSTEMS.some((each) => plain === each || plain.startsWith(`${each}/`));
    if (plain === "" || SHARED.has(plain) || systems)
      return `${shown}: it must be a directory of Blazar's own`;
    const kernels = KERNELS_OWN.find((each) => path === each || path.startsWith(`${each}/`));
    if (kernels !== undefined && !path.startsWith("/dev/shm/"))
      return `${shown}: nothing of Blazar's can be below ${kernels}`;
  }
  const most = LONGEST_SOCKET_PATH - LONGEST_BELOW_STATE;
  const length = Buffer.byteLength(daemon.state_directory);
  if (length > most)
    return `daemon.state_directory has ${length} bytes: it must have ${most} at most, because sockets are below it`;
  return undefined;
}

function vmmProblem({ vmm }: Config, { memoryBytes }: ConfiguredHost): string | undefined {
  if (vmm.memory > memoryBytes)
    return `vmm.memory is ${mebibytes(vmm.memory)}: the host has ${mebibytes(memoryBytes)}`;
  if (vmm.memory_limit !== undefined && vmm.memory > vmm.memory_limit)
    return `vmm.memory is ${mebibytes(vmm.memory)}, more than vmm.memory_limit, which is ${mebibytes(vmm.memory_limit)}`;
  if (vmm.vcpus_limit !== undefined && vmm.vcpus > vmm.vcpus_limit)
    return `vmm.vcpus is ${vmm.vcpus}, more than vmm.vcpus_limit, which is ${vmm.vcpus_limit}`;
  return undefined;
}

function poolProblem({ pool, vmm }: Config): string | undefined {
  if (pool.min > pool.max) return `pool.min is ${pool.min}, more than pool.max, which is ${pool.max}`;
  if (pool.max > 0 && pool.memory_limit < vmm.memory)
    return `pool.memory_limit is ${mebibytes(pool.memory_limit)}: not one VM of vmm.memory, which is ${mebibytes(vmm.memory)}, fits into it`;
  return undefined;
}

function mebibytes(bytes: number): string {
  return `${Math.floor(bytes / 2 ** 20)}M`;
}
