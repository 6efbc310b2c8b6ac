/**
 * Detached trees of mounts, by koffi: open_tree(2), mount_setattr(2), move_mount(2) (Linux 5.12).
 *
 * A tree is cloned and restricted before anybody can see it. The C library may be older than the calls, so they go by their
 * numbers, which are the same on every architecture. For workers only; see libc.ts.
 */
import { closeDescriptor, libc, valueOr } from "../libc/libc.ts";

const OPEN_TREE = 428;
const MOVE_MOUNT = 429;
const MOUNT_SETATTR = 442;
const AT_FDCWD = -100;
const AT_EMPTY_PATH = 0x1000;
const AT_RECURSIVE = 0x8000;
const OPEN_TREE_CLONE = 1;
const OPEN_TREE_CLOEXEC = 0o2000000;
const MOVE_MOUNT_F_EMPTY_PATH = 4;
const MS_PRIVATE = 1 << 18;
const MS_SLAVE = 1 << 19;
const ATTRIBUTE_BYTES = 32;

/** MOUNT_ATTR_* of mount_setattr(2). */
const ATTRIBUTES = { ro: 1, nosuid: 2, nodev: 4, noexec: 8 } as const;

const cSyscall = libc.func("long syscall(long number, ...)");

export interface TreeOptions {
  /** With everything that is mounted below. */
  readonly recursive: boolean;
  /** Follows what is mounted at the source later. */
  readonly slave: boolean;
  /** For each mount of the tree. */
  readonly attributes: readonly (keyof typeof ATTRIBUTES)[];
}

/** Clones the tree at `source` and restricts it. Returns a descriptor for {@link attachTree}, or [a step, an errno]. */
export function cloneTree(source: string, options: TreeOptions): number | [step: string, errno: number] {
  const flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | (options.recursive ? AT_RECURSIVE : 0);
  const tree = valueOr(Number(cSyscall(OPEN_TREE, "int", AT_FDCWD, "str", source, "unsigned int", flags)));
  if (tree < 0) return ["clone the mount", -tree];
  const attributes = Buffer.alloc(ATTRIBUTE_BYTES);
  const set = options.attributes.reduce((all, name) => all | ATTRIBUTES[name], 0);
  attributes.writeBigUInt64LE(BigInt(set), 0);
  attributes.writeBigUInt64LE(BigInt(options.slave ? MS_SLAVE : MS_PRIVATE), 16);
  const all = AT_EMPTY_PATH | AT_RECURSIVE;
  const restricted = valueOr(
    Number(
      cSyscall(
        ...[MOUNT_SETATTR, "int", tree, "str", "", "unsigned int", all],
        ...["void *", attributes, "size_t", ATTRIBUTE_BYTES],
      ),
    ),
  );
  if (restricted === 0) return tree;
  closeDescriptor(tree);
  return ["restrict the mount", -restricted];
}

/** Puts the tree at a place, and closes it. Returns 0 or an errno. */
export function attachTree(tree: number, target: string): number {
  const result = valueOr(
    Number(
      cSyscall(
        ...[MOVE_MOUNT, "int", tree, "str", "", "int", AT_FDCWD],
        ...["str", target, "unsigned int", MOVE_MOUNT_F_EMPTY_PATH],
      ),
    ),
  );
  closeDescriptor(tree);
  return result < 0 ? -result : 0;
}
