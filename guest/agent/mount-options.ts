/**
 * Mount options of an OCI mount to what the system calls take: mount(8)'s words, mount(2)'s flags and data,
 * mount_setattr(2)'s attributes.
 *
 * Pure. Words that only mean something to mount(8) are dropped; words nobody knows go to the filesystem as
 * data, which refuses what it does not know.
 */
import * as sys from "sys";

/** What to do for one mount. */
export interface MountOptions {
  /** Flags of mount(2), without binding and propagation. */
  readonly flags: number;
  /** The rest, for the filesystem. */
  readonly data: string;
  /** MOUNT_ATTR_* to set on a bind mount; an own filesystem has them in its flags. */
  readonly attributes: number;
  /** The attributes count for submounts, too (`rro`, or a recursive bind is read-only only at its top). */
  readonly recursive: boolean;
  /** Propagation flag, or 0 for the default. */
  readonly propagation: number;
  readonly bind: boolean;
  /** The bind takes submounts along. */
  readonly recursiveBind: boolean;
}

const FLAGS: Readonly<Record<string, [flag: number, attribute: number]>> = {
  ro: [sys.MS_RDONLY, sys.MOUNT_ATTR_RDONLY],
  nosuid: [sys.MS_NOSUID, sys.MOUNT_ATTR_NOSUID],
  nodev: [sys.MS_NODEV, sys.MOUNT_ATTR_NODEV],
  noexec: [sys.MS_NOEXEC, sys.MOUNT_ATTR_NOEXEC],
  nosymfollow: [sys.MS_NOSYMFOLLOW, sys.MOUNT_ATTR_NOSYMFOLLOW],
  sync: [sys.MS_SYNCHRONOUS, 0],
  noatime: [sys.MS_NOATIME, 0],
  nodiratime: [sys.MS_NODIRATIME, 0],
  relatime: [sys.MS_RELATIME, 0],
  strictatime: [sys.MS_STRICTATIME, 0],
  lazytime: [sys.MS_LAZYTIME, 0],
};

const CLEARS: Readonly<Record<string, string>> = {
  rw: "ro",
  suid: "nosuid",
  dev: "nodev",
  exec: "noexec",
  symfollow: "nosymfollow",
  async: "sync",
  atime: "noatime",
  diratime: "nodiratime",
  norelatime: "relatime",
  nostrictatime: "strictatime",
  nolazytime: "lazytime",
};

const PROPAGATION: Readonly<Record<string, number>> = {
  private: sys.MS_PRIVATE,
  rprivate: sys.MS_PRIVATE | sys.MS_REC,
  slave: sys.MS_SLAVE,
  rslave: sys.MS_SLAVE | sys.MS_REC,
  shared: sys.MS_SHARED,
  rshared: sys.MS_SHARED | sys.MS_REC,
  unbindable: sys.MS_UNBINDABLE,
  runbindable: sys.MS_UNBINDABLE | sys.MS_REC,
};

/** mount(8)'s own words, runc's extensions, and what has a meaning on the host only. */
const IGNORED: ReadonlySet<string> = new Set([
  "defaults",
  "auto",
  "noauto",
  "user",
  "nouser",
  "tmpcopyup",
  "notmpcopyup",
  "_netdev",
  "loop",
]);

/** Reads the options of a mount. */
export function parseMountOptions(options: readonly string[]): MountOptions {
  const on = new Set<string>();
  const data: string[] = [];
  let recursive = false;
  let propagation = 0;
  let bind = false;
  let recursiveBind = false;
  for (const option of options) {
    if (option === "bind" || option === "rbind") {
      bind = true;
      recursiveBind ||= option === "rbind";
    } else if (PROPAGATION[option] !== undefined) {
      propagation = PROPAGATION[option];
    } else if (option === "rro") {
      on.add("ro");
      recursive = true;
    } else if (FLAGS[option] !== undefined) {
      on.add(option);
    } else if (CLEARS[option] !== undefined) {
      on.delete(CLEARS[option]);
    } else if (!IGNORED.has(option)) {
      data.push(option);
    }
  }
  let flags = 0;
  let attributes = 0;
  for (const option of on) {
    const [flag, attribute] = FLAGS[option] ?? [0, 0];
    flags |= flag;
    attributes |= attribute;
  }
  return { flags, data: data.join(","), attributes, recursive, propagation, bind, recursiveBind };
}
