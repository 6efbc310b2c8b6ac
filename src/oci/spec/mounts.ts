/**
 * An OCI spec's mounts to the guest's: config.md#mounts, and what containerd's CRI puts there by itself.
 *
 * Kernel filesystems are made in the guest. The files that a pod shares (hosts, hostname, resolv.conf, /dev/shm)
 * come from the sandbox, so CRI's binds of them are left out. Every other path of the host is refused by name: a
 * container that silently lacks its volume is worse than one that does not start.
 */
import path from "node:path";
import type { GuestMount } from "../../protocol/guest/messages.ts";
import { atMost } from "./process.ts";
import { invalidSpec, isEmpty, type OciMount, unsupportedSpec } from "./schema.ts";

/** What the guest makes by itself, wherever the spec wants it. */
const KERNEL_FILESYSTEMS = new Set(["proc", "sysfs", "tmpfs", "devpts", "mqueue"]);
const CGROUP_FILESYSTEMS = new Set(["cgroup", "cgroup2"]);
/** Made for the whole sandbox by the daemon. */
const SANDBOX_FILES = new Set(["/etc/hosts", "/etc/hostname", "/etc/resolv.conf"]);
const SHARED_MEMORY = "/dev/shm";

export interface TranslatedMounts {
  readonly mounts: GuestMount[];
  readonly warnings: string[];
}

/** @throws BlazarError `InvalidSpec`, `UnsupportedSpec` */
export function translateMounts(mounts: readonly OciMount[]): TranslatedMounts {
  const warnings: string[] = [];
  const guest = mounts.flatMap((mount, index) => {
    const translated = translateMount(mount, `mounts[${index}]`, warnings);
    return translated === undefined ? [] : [translated];
  });
  return { mounts: atMost(guest, 1024, "mounts"), warnings };
}

/** undefined: the sandbox has it already. */
function translateMount(mount: OciMount, field: string, warnings: string[]): GuestMount | undefined {
  const options = atMost(mount.options ?? [], 64, `${field}.options`);
  if (!mount.destination.startsWith("/"))
    throw invalidSpec(`${field}.destination`, `"${mount.destination}" is not an absolute path`);
  if (!isEmpty(mount.uidMappings) || !isEmpty(mount.gidMappings))
    throw unsupportedSpec(
      field,
      `the mount at ${mount.destination} maps user ids`,
      "user namespaces come later",
    );
  const destination = path.posix.resolve(mount.destination);
  const type = mount.type ?? "";
  const isBind = type === "bind" || options.includes("bind") || options.includes("rbind");
  if (isBind) return translateBind(mount, destination, field);
  const source = mount.source ?? "";
  if (KERNEL_FILESYSTEMS.has(type)) return { type, source, destination, options };
  if (CGROUP_FILESYSTEMS.has(type)) return cgroupView(destination, options, warnings);
  throw unsupportedSpec(
    field,
    `a ${type === "" ? "mount without type" : type} at ${destination} is not supported`,
  );
}

function translateBind(mount: OciMount, destination: string, field: string): GuestMount | undefined {
  if (SANDBOX_FILES.has(destination)) return undefined;
  if (destination === SHARED_MEMORY) {
    // the guest puts the sandbox's shared memory where a tmpfs is asked for
    const options = ["nosuid", "noexec", "nodev", "mode=1777"];
    return { type: "tmpfs", source: "shm", destination, options };
  }
  throw unsupportedSpec(
    field,
    `the host's ${mount.source ?? "(no source)"} cannot be mounted at ${destination} yet`,
    "volumes come with a later release",
  );
}

/** Containers see the guest's hierarchy, never write to it: the agent keeps their limits there. */
function cgroupView(destination: string, options: readonly string[], warnings: string[]): GuestMount {
  if (options.includes("rw")) warnings.push(`the cgroups at ${destination} are read-only in the guest`);
  return { type: "cgroup", source: "cgroup", destination, options: ["nosuid", "noexec", "nodev", "ro"] };
}
