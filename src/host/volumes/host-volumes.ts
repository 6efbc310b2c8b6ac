/**
 * The HostVolumes port: what a spec binds of this host.
 *
 * Workers look, read and mount; oci/spec/volumes.ts decides. A directory is followed by inotify(7), one watch each.
 */
import { constants, type FSWatcher, watch } from "node:fs";
import { lstat, open } from "node:fs/promises";
import { BlazarError, blazarError } from "../../contracts/errors.ts";
import type {
  HostVolumes,
  VolumeEntry,
  VolumeMount,
  VolumeNews,
  VolumePlan,
  VolumeRequest,
  VolumeWatch,
} from "../../contracts/volumes.ts";
import { fileVersion, isSameFile } from "../../lib/file-version.ts";
import { mayBeCopied, volumePlan } from "../../oci/spec/volumes.ts";
import type { RootfsTasks } from "../../workers/rootfs.worker.ts";
import type { TaskRunner } from "../storage/worker-pool.ts";

/** What a copy may have. Kubernetes allows 1 MiB for a configMap, and a projected volume has several. */
const BOUNDS = { bytes: 8 * 1024 * 1024, entries: 5_000 };

export class LocalVolumes implements HostVolumes {
  constructor(private readonly workers: TaskRunner<RootfsTasks>) {}

  async plan(requests: readonly VolumeRequest[]): Promise<VolumePlan[]> {
    if (requests.length === 0) return [];
    const sources = requests.map((request) => ({ source: request.source, copied: mayBeCopied(request) }));
    const looks = await this.workers.run("lookAtVolumes", { sources, bounds: BOUNDS });
    return requests.map((request, index) => {
      const found = looks[index];
      if (found === undefined)
        throw blazarError("Internal", "look at a volume", "a worker has not", { subject: request.source });
      const copy = found.copy ?? { refused: "it was not read" };
      return volumePlan({ request, facts: found.look, copy: () => copy });
    });
  }

  async read(source: string): Promise<readonly VolumeEntry[] | undefined> {
    const sources = [{ source, copied: true }];
    const [found] = await this.workers.run("lookAtVolumes", { sources, bounds: BOUNDS });
    return found?.copy !== undefined && "entries" in found.copy ? found.copy.entries : undefined;
  }

  watch(source: string, version: string, tell: VolumeNews): VolumeWatch {
    return new DirectoryWatch(source, version, tell);
  }

  mount(mount: VolumeMount): Promise<undefined> {
    return this.workers.run("bindVolume", mount);
  }

  unmount({ target }: Pick<VolumeMount, "target">): Promise<undefined> {
    return this.workers.run("unbindVolume", target);
  }

  async writeBack(path: string, version: string, bytes: Uint8Array): Promise<void> {
    const { O_WRONLY, O_NOFOLLOW, O_NONBLOCK } = constants;
    try {
      const file = await open(path, O_WRONLY | O_NOFOLLOW | O_NONBLOCK);
      try {
        const stat = await file.stat({ bigint: true });
        // who can change the directories on its way must not choose another file of the host
        const reason = stat.isFile() ? "another file is in its place" : "it is no regular file";
        if (!stat.isFile() || !isSameFile(fileVersion(stat), version))
          throw blazarError("StorageFailed", "write a file back", reason, { subject: path });
        await file.truncate(0);
        await file.write(bytes, 0, bytes.length, 0);
      } finally {
        await file.close();
      }
    } catch (error) {
      throw BlazarError.wrap(error, "StorageFailed", { operation: "write a file back", subject: path });
    }
  }
}

/** Tells of changes, also of one between the reading of the directory and the beginning of the watch. */
class DirectoryWatch implements VolumeWatch {
  private watcher: FSWatcher | undefined;

  constructor(source: string, version: string, { changed, blind }: VolumeNews) {
    try {
      this.watcher = watch(source, { persistent: false }, changed);
      // a directory that is removed ends its watch
      this.watcher.on("error", () => this.close());
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOENT") blind(error);
    }
    const look = async () => {
      if (fileVersion(await lstat(source, { bigint: true })) !== version) changed();
    };
    look().catch(() => undefined);
  }

  close(): void {
    this.watcher?.close();
    this.watcher = undefined;
  }
}
