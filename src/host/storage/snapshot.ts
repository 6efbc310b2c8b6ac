/**
 * Reads the mounts that a snapshotter gives for a container's root: `rootfs` of Task.Create.
 *
 * Knows the snapshotters overlayfs, native, blockfile and erofs. Another mount type is a row of {@link READERS}, another
 * harmless option a word in {@link HARMLESS}. An option that would change what the layers mean is refused, never dropped.
 * Pure: looks at no file.
 */
import { type BlazarError, blazarError } from "../../contracts/errors.ts";
import type { IdMapping, UserNamespaceMaps } from "../../contracts/id-maps.ts";
import type { RootfsMount } from "../../contracts/task.ts";
import { splitLayers } from "../../workers/images/overlay-data.ts";

/** A snapshot: directories to stack, or a disk image. */
export type Snapshot =
  | {
      readonly kind: "layers";
      /** The topmost first, without the upper. */
      readonly lower: readonly string[];
      /** The writable layer's directory; undefined for a read-only view and for plain directories. */
      readonly upper: string | undefined;
      readonly readonly: boolean;
      /** The layers' ids are to be mapped by these, where they are mounted. Undefined: they stay as they are. */
      readonly maps: UserNamespaceMaps | undefined;
    }
  | { readonly kind: "disk"; readonly path: string; readonly filesystem: string; readonly readonly: boolean };

/** Options that do not change what the layers contain. Some are for a writable overlay, which the host has not. */
const HARMLESS = new Set(
  ["ro", "rw", "bind", "rbind", "private", "rprivate", "slave", "rslave", "shared", "rshared"].concat(
    ["nosuid", "nodev", "noexec", "noatime", "nodiratime", "relatime", "strictatime", "loop"],
    ["index=off", "index=on", "metacopy=off", "nfs_export=off", "nfs_export=on", "volatile"],
    ["redirect_dir=off", "redirect_dir=nofollow", "xino=off", "xino=on", "xino=auto"],
    ["uuid=off", "uuid=on", "uuid=null", "uuid=auto", "verity=off"],
  ),
);

/** By the mount's type. A disk is attached to the VM, and the guest's kernel mounts it: it must know the filesystem. */
const READERS: Readonly<Record<string, (mount: RootfsMount) => Snapshot>> = {
  overlay: readOverlay,
  bind: readBind,
  ext4: readDisk,
  erofs: readDisk,
};

const OTHER_SNAPSHOTTERS = "use the overlayfs, native or blockfile snapshotter";

/** @throws BlazarError `InvalidRootfs` */
export function readSnapshot(mounts: readonly RootfsMount[]): Snapshot {
  const [mount, ...others] = mounts;
  if (mount === undefined) throw invalid("", "containerd gave no mount");
  if (others.length > 0) {
    const types = mounts.map((each) => each.type).join(", ");
    const reason = `a root of ${mounts.length} mounts (${types}) is not supported`;
    throw invalid(mount.source, reason, OTHER_SNAPSHOTTERS);
  }
  if (mount.target !== "" && mount.target !== "/")
    throw invalid(mount.source, `a mount below the root (at ${mount.target}) is not supported`);
  const type = mount.type === "" && isBind(mount) ? "bind" : mount.type;
  const read = Object.hasOwn(READERS, type) ? READERS[type] : undefined;
  if (read !== undefined) return read(mount);
  throw invalid(mount.source, `the mount type "${mount.type}" is not supported`, OTHER_SNAPSHOTTERS);
}

function readOverlay(mount: RootfsMount): Snapshot {
  let lower: string[] = [];
  let upper: string | undefined;
  for (const option of mount.options) {
    const [name, value] = splitOption(option);
    if (name === "lowerdir") lower = splitLayers(value);
    else if (name === "lowerdir+") lower.push(value);
    else if (name === "upperdir") upper = absolute(withoutEscapes(value), "upperdir");
    else if (!isMap(name) && name !== "workdir") refuseUnlessHarmless(option, mount);
  }
  if (lower.length === 0) throw invalid(mount.source, "the overlay has no lowerdir");
  for (const layer of lower) absolute(layer, "lowerdir");
  return { kind: "layers", lower, upper, readonly: upper === undefined, maps: mapsOf(mount) };
}

function readBind(mount: RootfsMount): Snapshot {
  for (const option of mount.options) if (!isMap(splitOption(option)[0])) refuseUnlessHarmless(option, mount);
  return {
    kind: "layers",
    lower: [absolute(mount.source, "source")],
    upper: undefined,
    readonly: isReadonly(mount),
    maps: mapsOf(mount),
  };
}

function readDisk(mount: RootfsMount): Snapshot {
  for (const option of mount.options) refuseUnlessHarmless(option, mount);
  return {
    kind: "disk",
    path: absolute(mount.source, "source"),
    filesystem: mount.type,
    readonly: isReadonly(mount) || mount.type === "erofs",
  };
}

function isBind(mount: RootfsMount): boolean {
  return mount.options.includes("bind") || mount.options.includes("rbind");
}

/** The last of `ro` and `rw` counts, as with mount(8). */
function isReadonly(mount: RootfsMount): boolean {
  return mount.options.findLast((option) => option === "ro" || option === "rw") === "ro";
}

const MAPS = ["uidmap", "gidmap"] as const;

function isMap(name: string): boolean {
  return MAPS.some((each) => each === name);
}

/** `uidmap=<inside>:<outside>:<size>,…` and `gidmap=…`, as containerd's overlayfs snapshotter asks for idmapped layers. */
function mapsOf(mount: RootfsMount): UserNamespaceMaps | undefined {
  const [uids, gids] = MAPS.map((wanted) => {
    const option = mount.options.find((each) => splitOption(each)[0] === wanted);
    return option === undefined
      ? undefined
      : splitOption(option)[1]
          .split(",")
          .map((text) => mappingOf(text, mount));
  });
  if (uids === undefined && gids === undefined) return undefined;
  if (uids !== undefined && gids !== undefined) return { uids, gids };
  throw invalid(mount.source, "the mount maps user ids or group ids, but not both");
}

function mappingOf(text: string, mount: RootfsMount): IdMapping {
  const [, containerId, hostId, size] = /^(\d{1,10}):(\d{1,10}):(\d{1,10})$/.exec(text) ?? [];
  if (size === undefined) throw invalid(mount.source, `"${text}" is not a mapping of ids`);
  return { containerId: Number(containerId), hostId: Number(hostId), size: Number(size) };
}

function splitOption(option: string): [name: string, value: string] {
  const at = option.indexOf("=");
  return at < 0 ? [option, ""] : [option.slice(0, at), option.slice(at + 1)];
}

function withoutEscapes(value: string): string {
  return value.replace(/\\(.)/g, "$1");
}

function refuseUnlessHarmless(option: string, mount: RootfsMount): void {
  if (HARMLESS.has(option)) return;
  throw invalid(mount.source, `the option "${option}" of a ${mount.type} mount is not supported`);
}

function absolute(path: string, what: string): string {
  if (path.startsWith("/") && !path.includes("\0")) return path;
  throw invalid(path, `the ${what} "${path}" is not an absolute path`);
}

function invalid(subject: string, reason: string, remedy?: string): BlazarError {
  const about = { subject: subject === "" ? undefined : subject, remedy };
  return blazarError("InvalidRootfs", "read the root filesystem's mounts", reason, about);
}
