/**
 * The HostVolumes port: what a spec binds of this host.
 *
 * Workers look, read and mount; oci/spec/volumes.ts decides. A directory is followed by inotify(7), one watch each.
 */
import { constants, type FSWatcher, watch } from "node:fs";
import { lstat, open } from "node:fs/promises";
import path from "node:path";
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
import type { RootfsTasks, VolumeLook } from "../../workers/rootfs.worker.ts";
import type { CopyBounds } from "../../workers/volumes/volume-tree.ts";
import type { TaskRunner } from "../storage/worker-pool.ts";
import type { PatientTasks } from "./patient-tasks.ts";
import { mayHang, readRemoteMounts } from "./remote-mounts.ts";

/** What a copy may have. Kubernetes allows 1 MiB for a configMap, and a projected volume has several. */
const BOUNDS = { bytes: 8 * 1024 * 1024, entries: 5_000 };
/** What all copies of one container may have: what is beyond it is shared. */
const PLAN_BOUNDS: CopyBounds = { bytes: 32 * 1024 * 1024, entries: 20_000 };
const LOOKS_AT_ONCE = 8;

/** For what may not answer: threads that nobody else waits for. */
export interface PatientWorkers {
  readonly workers: TaskRunner<RootfsTasks>;
  readonly tasks: PatientTasks;
}

export class LocalVolumes implements HostVolumes {
  /** @param patient without it, whatever a source is on is asked by the same threads */
  constructor(
    private readonly workers: TaskRunner<RootfsTasks>,
    private readonly patient?: PatientWorkers,
  ) {}

  async plan(requests: readonly VolumeRequest[], owner: string): Promise<VolumePlan[]> {
    if (requests.length === 0) return [];
    const looks = await this.lookAtAll(requests, owner);
    return requests.map((request) => {
      const found = looks.get(request.source);
      if (found === undefined)
        throw blazarError("Internal", "look at a volume", "a worker has not", { subject: request.source });
      const copy = found.copy ?? { refused: "it was not read" };
      return volumePlan({ request, facts: found.look, copy: () => copy });
    });
  }

  /** Each source once, however many mounts have it; a few at a time, so that others' tasks come in between. */
  private async lookAtAll(
    requests: readonly VolumeRequest[],
    owner: string,
  ): Promise<ReadonlyMap<string, VolumeLook>> {
    const remote = await this.remoteMounts();
    const wanted = new Map<string, boolean>();
    for (const request of requests) {
      const { source } = request;
      // what may not answer is shared: nobody but its file server waits for it then
      const copied = mayBeCopied(request) && !mayHang(source, remote);
      wanted.set(source, copied || wanted.get(source) === true);
    }
    const all = [...wanted].map(([source, copied]) => ({ source, copied }));
    const looks = new Map<string, VolumeLook>();
    let left = PLAN_BOUNDS;
    for (let at = 0; at < all.length; at += LOOKS_AT_ONCE) {
      const sources = all.slice(at, at + LOOKS_AT_ONCE);
      const bounds = { each: BOUNDS, all: left };
      const found = await this.run(owner, sources, remote, (workers) =>
        workers.run("lookAtVolumes", { sources, bounds }),
      );
      left = found.left;
      for (const [index, look] of found.looks.entries()) looks.set(sources[index]?.source ?? "", look);
    }
    return looks;
  }

  async read(source: string): Promise<readonly VolumeEntry[] | undefined> {
    const sources = [{ source, copied: true }];
    const bounds = { each: BOUNDS, all: BOUNDS };
    const remote = await this.remoteMounts();
    // something was mounted there since: it is not followed any more
    if (mayHang(source, remote)) return undefined;
    const [found] = (await this.workers.run("lookAtVolumes", { sources, bounds })).looks;
    return found?.copy !== undefined && "entries" in found.copy ? found.copy.entries : undefined;
  }

  watch(source: string, version: string, tell: VolumeNews): VolumeWatch {
    return new DirectoryWatch(source, version, tell);
  }

  async mount(mount: VolumeMount): Promise<undefined> {
    const remote = await this.remoteMounts();
    return this.run(path.dirname(mount.target), [mount], remote, (workers) =>
      workers.run("bindVolume", mount),
    );
  }

  unmount({ target }: Pick<VolumeMount, "target">): Promise<undefined> {
    return this.workers.run("unbindVolume", target);
  }

  async writeBack(target: string, version: string, bytes: Uint8Array): Promise<void> {
    const { O_WRONLY, O_NOFOLLOW, O_NONBLOCK } = constants;
    try {
      const file = await open(target, O_WRONLY | O_NOFOLLOW | O_NONBLOCK);
      try {
        const stat = await file.stat({ bigint: true });
        // who can change the directories on its way must not choose another file of the host
        const reason = stat.isFile() ? "another file is in its place" : "it is no regular file";
        if (!stat.isFile() || !isSameFile(fileVersion(stat), version))
          throw blazarError("StorageFailed", "write a file back", reason, { subject: target });
        await file.truncate(0);
        await file.write(bytes, 0, bytes.length, 0);
      } finally {
        await file.close();
      }
    } catch (error) {
      throw BlazarError.wrap(error, "StorageFailed", { operation: "write a file back", subject: target });
    }
  }

  private async remoteMounts(): Promise<readonly string[]> {
    return this.patient === undefined ? [] : readRemoteMounts();
  }

  private async run<T>(
    owner: string,
    sources: readonly { readonly source: string }[],
    remote: readonly string[],
    task: (workers: TaskRunner<RootfsTasks>) => Promise<T>,
  ): Promise<T> {
    const { workers, patient } = this;
    const slow = sources.find(({ source }) => mayHang(source, remote));
    if (patient === undefined || slow === undefined) return task(workers);
    return patient.tasks.run(owner, slow.source, () => task(patient.workers));
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
