/**
 * From an OCI spec's mounts to the guest's: runtime-spec, config.md#mounts, and what containerd's CRI adds.
 *
 * A filesystem of the kernel is made in the guest; another one is a word in {@link KERNEL_FILESYSTEMS}. The files that
 * containerd would make for a pod come from the sandbox, so its binds of them are left out. Every other bind is a volume:
 * its mount names a request, and what becomes of it is decided when the host has been looked at (volumes.ts). A volume may be
 * idmapped, by the maps of the container's user namespace.
 */
import path from "node:path";
import { sameMaps, type UserNamespaceMaps } from "../../contracts/id-maps.ts";
import type { VolumeRequest } from "../../contracts/volumes.ts";
import type { GuestMount } from "../../protocol/guest/messages.ts";
import { atMost } from "./limits.ts";
import { idMappings, invalidSpec, isEmpty, type OciMount, unsupportedSpec } from "./schema.ts";

/** Filesystems that the guest mounts itself, at any place. */
const KERNEL_FILESYSTEMS = new Set(["proc", "sysfs", "tmpfs", "devpts", "mqueue"]);
const CGROUP_FILESYSTEMS = new Set(["cgroup", "cgroup2"]);
/** What containerd makes for a pod below its own state; the daemon makes it for the sandbox. Without the pod's id, any. */
const SANDBOX_FILES = new Set(["/etc/hosts", "/etc/hostname", "/etc/resolv.conf"]);
const SHARED_MEMORY = "/dev/shm";
const HOST_SHARED_MEMORY = "/dev/shm";
const DEVICES = "/dev";
/** What a container may have in place of the kernel's, as under runc: a view of its limits (lxcfs), and checkpoints. */
const IN_PROC = new Set(
  [
    ...["cpuinfo", "diskstats", "loadavg", "meminfo", "net/dev", "slabinfo", "stat", "swaps", "uptime"],
    ...["sys/kernel/ns_last_pid", "sys/crypto/fips_enabled"],
  ].map((name) => `/proc/${name}`),
);
const BIDIRECTIONAL = new Set(["shared", "rshared"]);
const FROM_HOST = new Set(["slave", "rslave"]);
const IDMAPPED = new Set(["idmap", "ridmap"]);

export interface TranslatedMounts {
  /** The `source` of a mount of type `volume` is the number of its request. */
  readonly mounts: GuestMount[];
  readonly volumes: VolumeRequest[];
  readonly warnings: string[];
}

/** @throws BlazarError `InvalidSpec`, `UnsupportedSpec` */
export function translateMounts(
  mounts: readonly OciMount[],
  userNamespace?: UserNamespaceMaps,
): TranslatedMounts {
  const translation = new Translation(userNamespace);
  for (const [index, mount] of atMost(mounts, 1024, "mounts").entries())
    translation.add(mount, `mounts[${index}]`);
  return translation;
}

class Translation implements TranslatedMounts {
  readonly mounts: GuestMount[] = [];
  readonly volumes: VolumeRequest[] = [];
  readonly warnings: string[] = [];

  constructor(private readonly userNamespace: UserNamespaceMaps | undefined) {}

  add(mount: OciMount, field: string): void {
    const options = atMost(mount.options ?? [], 64, `${field}.options`);
    const type = mount.type ?? "";
    const destination = this.destinationOf(mount.destination, type, `${field}.destination`);
    if (options.includes("tmpcopyup")) {
      const reason = `the ${type} at ${destination} begins as a copy of what the image has there`;
      throw unsupportedSpec(`${field}.options: tmpcopyup`, reason, "let the container copy it");
    }
    const isBind = type === "bind" || options.includes("bind") || options.includes("rbind");
    if (isBind) return this.addBind(mount, { destination, options, field });
    if (mapsIds(mount, options)) {
      const reason = `the ${type} at ${destination} maps user ids`;
      throw unsupportedSpec(field, reason, "map ids of bind mounts only");
    }
    const source = mount.source ?? "";
    if (KERNEL_FILESYSTEMS.has(type)) this.mounts.push({ type, source, destination, options });
    else if (CGROUP_FILESYSTEMS.has(type)) this.mounts.push(this.cgroupView(destination, options));
    else {
      const shown = type === "" ? "mount without type" : type;
      throw unsupportedSpec(field, `a ${shown} at ${destination} is not supported`);
    }
  }

  /** As runc reads it: a relative one is below "/". */
  private destinationOf(given: string, type: string, field: string): string {
    const destination = path.posix.resolve("/", given);
    if (given === "" || destination === "/")
      throw invalidSpec(field, `"${given}" is the container's root, which a mount would cover`);
    if (isInProc(destination) && !IN_PROC.has(destination) && !(destination === "/proc" && type === "proc"))
      throw invalidSpec(field, `"${given}" is in /proc, where only what the kernel says counts`);
    if (!given.startsWith("/"))
      this.warnings.push(`${field} "${given}" is not an absolute path: it is taken for ${destination}`);
    return destination;
  }

  private addBind(mount: OciMount, { destination, options, field }: Place): void {
    const source = mount.source ?? "";
    if (!source.startsWith("/"))
      throw invalidSpec(`${field}.source`, `"${source}" is not an absolute path of the host`);
    if (isOfSandbox(source, destination)) return;
    if (path.posix.resolve(source) === DEVICES && destination === DEVICES) {
      this.warnings.push(
        "the devices of the host's /dev are not in the guest: the container has a /dev of its own",
      );
      return;
    }
    if (isSharedMemory(source, destination)) {
      // a tmpfs at this place is the sandbox's shared memory in the guest
      const usual = ["nosuid", "noexec", "nodev", "mode=1777"];
      this.mounts.push({ type: "tmpfs", source: "shm", destination, options: usual });
      return;
    }
    if (isSysfs(source, destination, options)) {
      this.mounts.push({
        type: "sysfs",
        source: "sysfs",
        destination,
        options: ["nosuid", "noexec", "nodev", "ro"],
      });
      return;
    }
    const idmapped = mapsIds(mount, options);
    if (idmapped && !this.hasMapsOf(mount)) {
      const reason = `the volume ${source} at ${destination} maps ids in another way than the container's user namespace`;
      throw unsupportedSpec(field, reason, "give it the maps of linux.uidMappings and linux.gidMappings");
    }
    const bidirectional = options.find((option) => BIDIRECTIONAL.has(option));
    if (bidirectional !== undefined) {
      const reason = `${source} at ${destination} is ${bidirectional} (Bidirectional): mounts in a VM cannot reach the host`;
      throw unsupportedSpec(field, reason, "set mountPropagation: HostToContainer or None");
    }
    const request = {
      field,
      source: path.posix.normalize(source),
      destination,
      readonly: isReadonly(options),
      recursive: !options.includes("bind") || options.includes("rbind"),
      slave: options.some((option) => FROM_HOST.has(option)),
      idmapped,
    };
    this.mounts.push({
      type: "volume",
      source: String(this.volumes.length),
      destination,
      options: bound(options),
    });
    this.volumes.push(request);
  }

  /** Without maps of its own an idmapped mount has those of the container's user namespace. */
  private hasMapsOf({ uidMappings, gidMappings }: OciMount): boolean {
    const { userNamespace } = this;
    if (userNamespace === undefined) return false;
    if (isEmpty(uidMappings) && isEmpty(gidMappings)) return true;
    const given = { uids: idMappings(uidMappings ?? []), gids: idMappings(gidMappings ?? []) };
    return sameMaps(given, userNamespace);
  }

  /** Containers can read the guest's hierarchy but not write to it: the agent keeps their limits there. */
  private cgroupView(destination: string, options: readonly string[]): GuestMount {
    if (options.includes("rw"))
      this.warnings.push(`the cgroups at ${destination} are read-only in the guest`);
    return { type: "cgroup", source: "cgroup", destination, options: ["nosuid", "noexec", "nodev", "ro"] };
  }
}

interface Place {
  readonly destination: string;
  readonly options: string[];
  readonly field: string;
}

/** `<state>/sandboxes/<id>/hosts` and the like, which containerd names whether it has made them or not. */
function isOfSandbox(source: string, destination: string): boolean {
  return (
    SANDBOX_FILES.has(destination) &&
    source.endsWith(`/${path.posix.basename(destination)}`) &&
    IN_SANDBOX.test(source)
  );
}

/** Root or state of the CRI plugin, whatever containerd's own are. */
const IN_SANDBOX = /\/io\.containerd\.grpc\.v1\.cri\/sandboxes\/[^/]+\/[^/]+$/;

/** The pod's, or the host's own where a pod asks for the host's IPC. Anything else at this place is a volume. */
function isSharedMemory(source: string, destination: string): boolean {
  if (destination !== SHARED_MEMORY) return false;
  return source === HOST_SHARED_MEMORY || (source.endsWith("/shm") && IN_SANDBOX.test(source));
}

/**
 * What containerd 2.3 and later bind in place of a sysfs for a pod with the host's network and a user namespace, where mounting one
 * fails under runc (internal/cri/server/container_create.go). A hostPath has a word for its propagation. The host's would be a
 * wrong one in any case: containers see their guest's devices.
 */
function isSysfs(source: string, destination: string, options: readonly string[]): boolean {
  return source === SYS && destination === SYS && !options.some((option) => PROPAGATION.test(option));
}

const SYS = "/sys";
const PROPAGATION = /^r?(private|slave|shared|unbindable)$/;

function isInProc(destination: string): boolean {
  return destination === "/proc" || destination.startsWith("/proc/");
}

function mapsIds({ uidMappings, gidMappings }: OciMount, options: readonly string[]): boolean {
  return !isEmpty(uidMappings) || !isEmpty(gidMappings) || options.some((option) => IDMAPPED.has(option));
}

/** The last word counts, as for mount(8). */
function isReadonly(options: readonly string[]): boolean {
  return ["ro", "rro"].includes(options.findLast((option) => ["ro", "rro", "rw"].includes(option)) ?? "");
}

/** What is left for the guest: it has nothing that a mount could propagate to. */
function bound(options: readonly string[]): string[] {
  return options.filter((option) => !BINDING.has(option) && !FROM_HOST.has(option) && !IDMAPPED.has(option));
}

const BINDING = new Set(["bind", "rbind", "private", "rprivate"]);
