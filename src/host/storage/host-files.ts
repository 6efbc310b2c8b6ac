/**
 * The HostFiles port: directories on the host and the mounts in them.
 *
 * Looks first, and asks a worker only if there is something to unmount: an idle daemon then needs no thread. Everything
 * else is done by Node's own asynchronous file calls.
 */
import { chmod, chown, lstat, readFile, realpath, rm } from "node:fs/promises";
import path from "node:path";
import { BlazarError, blazarError } from "../../contracts/errors.ts";
import type { HostFiles } from "../../contracts/storage.ts";
import { makeDirectories } from "../../lib/directories.ts";
import { mountPointsBelow } from "../../workers/mounts/mountinfo.ts";
import type { RootfsTasks } from "../../workers/rootfs.worker.ts";
import { removeTree } from "./remove-tree.ts";
import type { TaskRunner } from "./worker-pool.ts";

/** Files of this host. */
export class LocalHostFiles implements HostFiles {
  private readonly workers: TaskRunner<RootfsTasks>;

  constructor(workers: TaskRunner<RootfsTasks>) {
    this.workers = workers;
  }

  async makeDirectory(
    directory: string,
    mode: number,
    owner?: { readonly uid: number; readonly gid: number },
  ): Promise<void> {
    try {
      await makeDirectories(directory, mode);
      const found = await lstat(directory);
      if (!found.isDirectory()) {
        const reason = "there is a symlink or a file of that name";
        throw blazarError("StorageFailed", "make the directory", reason, { subject: directory });
      }
      // mkdir(2) applies the umask, and leaves the mode of a directory that exists already
      if ((found.mode & 0o7777) !== mode) await chmod(directory, mode);
      if (owner !== undefined && (found.uid !== owner.uid || found.gid !== owner.gid))
        await chown(directory, owner.uid, owner.gid);
    } catch (error) {
      throw BlazarError.wrap(error, "StorageFailed", { operation: "make the directory", subject: directory });
    }
  }

  async unmountBelow(directory: string): Promise<void> {
    const found = await mountsBelow(directory);
    if (found.length > 0) await this.workers.run("unmountBelow", directory);
  }

  async removeTree(directory: string): Promise<void> {
    await this.unmountBelow(directory);
    await removeTree(directory);
  }

  async removeFile(file: string): Promise<void> {
    await rm(file, { force: true });
  }
}

async function mountsBelow(directory: string): Promise<string[]> {
  const parent = await realpath(path.dirname(directory)).catch(() => path.resolve(path.dirname(directory)));
  const text = await readFile("/proc/self/mountinfo", "utf8");
  return mountPointsBelow(text, path.join(parent, path.basename(directory)));
}
