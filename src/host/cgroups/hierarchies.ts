/**
 * Which control group hierarchies are mounted, and how a path in them is written.
 *
 * The v1 hierarchies count if any of them has controllers (cgroup-v1/cgroups.rst), else v2 (cgroup-v2.rst); mountinfo
 * says where they are. A systemd parent (`a-b.slice`) becomes the path that systemd gives it (systemd.slice(5)).
 * Must not change anything.
 */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import path from "node:path";
import { type BlazarError, blazarError } from "../../contracts/errors.ts";
import { parseMountinfo } from "../../workers/mounts/mountinfo.ts";

/** A mounted hierarchy. */
export interface Hierarchy {
  readonly mountPoint: string;
  readonly version: 1 | 2;
  /** v1 only. */
  readonly controllers: readonly string[];
}

/** Where the groups of sandboxes without a parent are, in each hierarchy. */
export const OWN_GROUP = "/blazar";

/** Characters of the mark. */
const MARK = 12;

/**
 * Where those of one daemon are. Several daemons of a node have groups of their own, so that none takes another's empty group
 * for one that nobody holds.
 * @param owner the daemon's state directory
 */
export function ownGroupOf(owner: string): string {
  const mark = createHash("sha256").update(owner).digest("hex").slice(0, MARK);
  return `${OWN_GROUP}/${mark}`;
}

/** Options of a v1 hierarchy that are no controllers. */
const FLAGS = new Set(["rw", "ro", "xattr", "noprefix", "clone_children", "favordynmods", "none"]);

/** @param file like /proc/self/mountinfo. Named v1 hierarchies (systemd's) are left out: they have no controllers. */
export function readHierarchies(file: string): readonly Hierarchy[] {
  const entries = parseMountinfo(readFileSync(file, "utf8"));
  const legacy = new Map<string, Hierarchy>();
  for (const { mountPoint, type, superOptions } of entries) {
    if (type !== "cgroup") continue;
    const controllers = superOptions.filter((option) => /^[a-z_]+$/.test(option) && !FLAGS.has(option));
    const key = controllers.join(",");
    // a hierarchy may be mounted at several places; the first is the system's
    if (controllers.length > 0 && !legacy.has(key)) legacy.set(key, { mountPoint, version: 1, controllers });
  }
  if (legacy.size > 0) return [...legacy.values()];
  const unified = entries.find(({ type }) => type === "cgroup2");
  if (unified !== undefined) return [{ mountPoint: unified.mountPoint, version: 2, controllers: [] }];
  const about = { subject: file, remedy: "mount cgroup2 at /sys/fs/cgroup" };
  throw blazarError("DependencyMissing", "find the control groups", "no cgroup v1 or v2 is mounted", about);
}

/** The directories below the hierarchy's root, down to `group` itself, outer ones first. */
export function groupsOnTheWay(mountPoint: string, group: string): string[] {
  const names = group.split("/").filter((name) => name !== "");
  return names.map((_, index) => path.join(mountPoint, ...names.slice(0, index + 1)));
}

/** `a-b.slice` becomes `/a.slice/a-b.slice`; anything else is a path already. @throws BlazarError `InvalidArgument` */
export function expandParent(parent: string): string {
  const names = parent.split("/").filter((name) => name !== "");
  if (names.length === 0) throw invalidGroup(parent, "the root of a hierarchy takes no sandboxes");
  for (const name of names) {
    if (name === "." || name === ".." || /[\0\n]/.test(name) || name.length > 255)
      throw invalidGroup(parent, `"${name}" cannot be in the path of a control group`);
    if (name.startsWith("cgroup.")) throw invalidGroup(parent, `the kernel uses the name "${name}" itself`);
  }
  const [only = ""] = names;
  if (names.length > 1 || !only.endsWith(".slice")) return `/${names.join("/")}`;
  const parts = only.slice(0, -".slice".length).split("-");
  if (parts.includes("")) throw invalidGroup(parent, "it is not the name of a slice");
  return parts.map((_, index) => `/${parts.slice(0, index + 1).join("-")}.slice`).join("");
}

/** The error for a group that cannot be used. */
export function invalidGroup(subject: string, reason: string): BlazarError {
  return blazarError("InvalidArgument", "use the control group", reason, { subject });
}
