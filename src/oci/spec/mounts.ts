/**
 * From an OCI spec's mounts to the guest's: runtime-spec, config.md#mounts, and what containerd's CRI adds.
 *
 * A filesystem of the kernel is made in the guest; another one is a word in {@link KERNEL_FILESYSTEMS}. The files that a
 * pod shares come from the sandbox, so CRI's binds of them are left out. Every other path of the host is refused by name
 * in {@link translateBind}, where volumes will go: a container without its volume is worse than one that does not start.
 */
import path from "node:path";
import type { GuestMount } from "../../protocol/guest/messages.ts";
import { atMost } from "./limits.ts";
import { invalidSpec, isEmpty, type OciMount, unsupportedSpec } from "./schema.ts";

/** Filesystems that the guest mounts itself, at any place. */
const KERNEL_FILESYSTEMS = new Set(["proc", "sysfs", "tmpfs", "devpts", "mqueue"]);
const CGROUP_FILESYSTEMS = new Set(["cgroup", "cgroup2"]);
/** Files that the daemon makes for the whole sandbox. */
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

/** Undefined if the sandbox has it already. */
function translateMount(mount: OciMount, field: string, warnings: string[]): GuestMount | undefined {
  const options = atMost(mount.options ?? [], 64, `${field}.options`);
  if (!mount.destination.startsWith("/"))
    throw invalidSpec(`${field}.destination`, `"${mount.destination}" is not an absolute path`);
  const destination = path.posix.resolve(mount.destination);
  const type = mount.type ?? "";
  const isBind = type === "bind" || options.includes("bind") || options.includes("rbind");
  if (isBind) return translateBind(mount, destination, field);
  if (!isEmpty(mount.uidMappings) || !isEmpty(mount.gidMappings))
    throw unsupportedSpec(
      field,
      `the ${type} at ${destination} maps user ids`,
      "map ids of bind mounts only",
    );
  const source = mount.source ?? "";
  if (KERNEL_FILESYSTEMS.has(type)) return { type, source, destination, options };
  if (CGROUP_FILESYSTEMS.has(type)) return cgroupView(destination, options, warnings);
  const shown = type === "" ? "mount without type" : type;
  throw unsupportedSpec(field, `a ${shown} at ${destination} is not supported`);
}

function translateBind(mount: OciMount, destination: string, field: string): GuestMount | undefined {
  if (SANDBOX_FILES.has(destination)) return undefined;
  if (destination === SHARED_MEMORY) {
    // a tmpfs at this place is the sandbox's shared memory in the guest
    const options = ["nosuid", "noexec", "nodev", "mode=1777"];
    return { type: "tmpfs", source: "shm", destination, options };
  }
  const source = mount.source ?? "(no source)";
  const reason = `the host's ${source} cannot be mounted at ${destination} yet`;
  throw unsupportedSpec(field, reason, "remove the volume from the pod");
}

/** Containers can read the guest's hierarchy but not write to it: the agent keeps their limits there. */
function cgroupView(destination: string, options: readonly string[], warnings: string[]): GuestMount {
  if (options.includes("rw")) warnings.push(`the cgroups at ${destination} are read-only in the guest`);
  return { type: "cgroup", source: "cgroup", destination, options: ["nosuid", "noexec", "nodev", "ro"] };
}
