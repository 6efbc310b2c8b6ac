/**
 * Removes a directory tree without leaving it: no symlink is followed and no mount is entered.
 *
 * Every directory is opened with O_NOFOLLOW, and its children are named through /proc/self/fd (openat(2), unlinkat(2)).
 * So nobody redirects the removal by putting a symlink in the place of a directory. A directory of another mount is refused,
 * also where that is a bind mount of the same device (proc_pid_fdinfo(5)). Unmount first.
 */
import { randomBytes } from "node:crypto";
import { constants } from "node:fs";
import { type FileHandle, lstat, open, readdir, readFile, rename, rmdir, unlink } from "node:fs/promises";
import path from "node:path";
import { BlazarError, blazarError } from "../../contracts/errors.ts";

/** Each level holds a descriptor. What is deeper is moved up first, so that no tree is too deep. */
const MAX_DEPTH = 64;
const NAME_BYTES = 12;

/** The tree that is being removed. */
interface Tree {
  readonly root: FileHandle;
  readonly mount: string;
  /** Something that was too deep has come into the root. */
  grown: boolean;
}

/** Removes the tree at `root`; a missing one is no failure. The caller has unmounted everything below. */
export async function removeTree(root: string): Promise<void> {
  if (!path.isAbsolute(root) || path.resolve(root).split("/").length < 3)
    throw refusal(root, "it is not an absolute path of two names or more");
  try {
    const found = await lstat(root).catch(ignoreMissing);
    if (found === undefined) return;
    if (!found.isDirectory()) await unlink(root).catch(ignoreMissing);
    else await removeDirectory(root, undefined, 0, root);
  } catch (error) {
    throw BlazarError.wrap(error, "StorageFailed", { operation: "remove the directory", subject: root });
  }
}

/** @param name the path to open; `tree` is what it is a part of, `shown` the path for messages */
async function removeDirectory(
  name: string,
  tree: Tree | undefined,
  depth: number,
  shown: string,
): Promise<void> {
  const { O_RDONLY, O_DIRECTORY, O_NOFOLLOW } = constants;
  const handle = await open(name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW).catch(ignoreMissing);
  if (handle === undefined) return;
  try {
    const mount = await mountOf(handle);
    if (tree !== undefined && mount !== tree.mount) throw refusal(shown, "something is mounted in it");
    const own = tree ?? { root: handle, mount, grown: false };
    do {
      if (tree === undefined) own.grown = false;
      await removeChildren(handle, own, depth, shown);
    } while (tree === undefined && own.grown);
  } finally {
    await handle.close();
  }
  await rmdir(name).catch(ignoreMissing);
}

async function removeChildren(parent: FileHandle, tree: Tree, depth: number, shown: string): Promise<void> {
  const base = `/proc/self/fd/${parent.fd}`;
  for (const entry of await readdir(base, { withFileTypes: true })) {
    const child = `${base}/${entry.name}`;
    if (!entry.isDirectory()) await unlink(child).catch(ignoreMissing);
    else if (depth < MAX_DEPTH) await removeDirectory(child, tree, depth + 1, path.join(shown, entry.name));
    else {
      const free = randomBytes(NAME_BYTES).toString("hex");
      // refused where something is mounted (rename(2): EBUSY, EXDEV)
      await rename(child, `/proc/self/fd/${tree.root.fd}/${free}`).catch(ignoreMissing);
      tree.grown = true;
    }
  }
}

/** The number of the mount that an open directory is in. */
async function mountOf({ fd }: FileHandle): Promise<string> {
  const [, mount] = /^mnt_id:\s*(\d+)$/m.exec(await readFile(`/proc/self/fdinfo/${fd}`, "utf8")) ?? [];
  if (mount === undefined) throw refusal(`/proc/self/fdinfo/${fd}`, "it does not tell the mount");
  return mount;
}

function refusal(subject: string, reason: string): BlazarError {
  return blazarError("StorageFailed", "remove the directory", reason, { subject });
}

function ignoreMissing(error: NodeJS.ErrnoException): undefined {
  if (error.code !== "ENOENT") throw error;
}
