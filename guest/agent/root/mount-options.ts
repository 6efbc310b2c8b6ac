/**
 * Turns the options of an OCI mount into what the system calls take: flags and data of mount(2), attributes of
 * mount_setattr(2).
 *
 * Pure. Words that only mount(8) understands are dropped. Unknown words go to the filesystem as data; it refuses those that
 * it does not know.
 */
import * as sys from "sys";

/** The options of one mount, as the system calls take them. */
export interface MountOptions {
  /** Flags of mount(2), without binding and propagation. */
  readonly flags: number;
  /** The rest, for the filesystem. */
  readonly data: string;
  /** The attributes of a bind mount apply to its submounts, too (`rro`). Without it, only the top is read-only. */
  readonly recursive: boolean;
  /** Propagation flag, or 0 for the default. */
  readonly propagation: number;
  readonly bind: boolean;
  /** The bind mount includes submounts. */
  readonly recursiveBind: boolean;
}

/** A map and not an object, because an object has keys of its own, such as "constructor". */
const SETS: ReadonlyMap<string, number> = new Map([
  ["ro", sys.MS_RDONLY],
  ["nosuid", sys.MS_NOSUID],
  ["nodev", sys.MS_NODEV],
  ["noexec", sys.MS_NOEXEC],
  ["nosymfollow", sys.MS_NOSYMFOLLOW],
  ["sync", sys.MS_SYNCHRONOUS],
  ["noatime", sys.MS_NOATIME],
  ["nodiratime", sys.MS_NODIRATIME],
  ["relatime", sys.MS_RELATIME],
  ["strictatime", sys.MS_STRICTATIME],
  ["lazytime", sys.MS_LAZYTIME],
]);

const CLEARS: ReadonlyMap<string, number> = new Map([
  ["rw", sys.MS_RDONLY],
  ["suid", sys.MS_NOSUID],
  ["dev", sys.MS_NODEV],
  ["exec", sys.MS_NOEXEC],
  ["symfollow", sys.MS_NOSYMFOLLOW],
  ["async", sys.MS_SYNCHRONOUS],
  ["atime", sys.MS_NOATIME],
  ["diratime", sys.MS_NODIRATIME],
  ["norelatime", sys.MS_RELATIME],
  ["nostrictatime", sys.MS_STRICTATIME],
  ["nolazytime", sys.MS_LAZYTIME],
]);

/** Flags of mount(2) that a bind mount has as attributes. */
const ATTRIBUTES: readonly (readonly [flag: number, attribute: number])[] = [
  [sys.MS_RDONLY, sys.MOUNT_ATTR_RDONLY],
  [sys.MS_NOSUID, sys.MOUNT_ATTR_NOSUID],
  [sys.MS_NODEV, sys.MOUNT_ATTR_NODEV],
  [sys.MS_NOEXEC, sys.MOUNT_ATTR_NOEXEC],
  [sys.MS_NOSYMFOLLOW, sys.MOUNT_ATTR_NOSYMFOLLOW],
];

const PROPAGATION: ReadonlyMap<string, number> = new Map([
  ["private", sys.MS_PRIVATE],
  ["rprivate", sys.MS_PRIVATE | sys.MS_REC],
  ["slave", sys.MS_SLAVE],
  ["rslave", sys.MS_SLAVE | sys.MS_REC],
  ["shared", sys.MS_SHARED],
  ["rshared", sys.MS_SHARED | sys.MS_REC],
  ["unbindable", sys.MS_UNBINDABLE],
  ["runbindable", sys.MS_UNBINDABLE | sys.MS_REC],
]);

/** Words of mount(8), extensions of runc, and words that mean something on the host only. */
const IGNORED: ReadonlySet<string> = new Set([
  "defaults",
  "auto",
  "noauto",
  "user",
  "nouser",
  "notmpcopyup",
  "_netdev",
  "loop",
]);

/** Options that were read before. Most containers have the same mounts, and a prepared child reads the last one's. */
const known = new Map<string, MountOptions>();
const MAX_KNOWN = 64;

/** Reads the options of a mount. */
export function parseMountOptions(options: readonly string[]): MountOptions {
  // the number of options is part of the key, so that no two lists share one
  const key = `${options.length}\0${options.join("\0")}`;
  const before = known.get(key);
  if (before !== undefined) return before;
  const parsed = parse(options);
  if (known.size < MAX_KNOWN) known.set(key, parsed);
  return parsed;
}

function parse(options: readonly string[]): MountOptions {
  const data: string[] = [];
  let flags = 0;
  let recursive = false;
  let propagation = 0;
  let bind = false;
  let recursiveBind = false;
  for (const option of options) {
    const set = SETS.get(option);
    if (set !== undefined) {
      flags |= set;
      continue;
    }
    const clear = CLEARS.get(option);
    if (clear !== undefined) {
      flags &= ~clear;
      continue;
    }
    if (option === "bind" || option === "rbind") {
      bind = true;
      recursiveBind ||= option === "rbind";
    } else if (option === "rro") {
      flags |= sys.MS_RDONLY;
      recursive = true;
    } else if (PROPAGATION.has(option)) {
      propagation = PROPAGATION.get(option) ?? 0;
    } else if (!IGNORED.has(option)) {
      data.push(option);
    }
  }
  return { flags, data: data.join(","), recursive, propagation, bind, recursiveBind };
}

/** The MOUNT_ATTR_* for a bind mount. Any other mount takes them as flags of mount(2). */
export function bindAttributes(flags: number): number {
  let attributes = 0;
  for (const [flag, attribute] of ATTRIBUTES) if ((flags & flag) !== 0) attributes |= attribute;
  return attributes;
}
