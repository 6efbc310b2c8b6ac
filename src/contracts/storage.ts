/**
 * The port to the host's side of a container's root: what is mounted, copied and handed to the VM.
 *
 * The order is plan → intents in the journal → apply → … → release → undone: a {@link RootfsPlan} names every
 * host resource before it is made, so that a dead daemon's half-finished work can be undone from the journal.
 */
import type { UserNamespaceMaps } from "./id-maps.ts";
import type { CpuLimit } from "./sandbox.ts";
import type { RootfsMount } from "./task.ts";

export interface RootfsRequest {
  readonly containerId: string;
  /** As containerd's snapshotter gives them in Task.Create; not yet mounted. */
  readonly mounts: readonly RootfsMount[];
  /** The sandbox's share, which can be served to its guest; the container gets a directory of its own in it. */
  readonly shareDirectory: string;
  /** Where writable layers go whose snapshot has no upperdir. */
  readonly scratchDirectory: string;
  /** Owner of disk images: the VMM's user; undefined = leave as is. */
  readonly owner: { readonly uid: number; readonly gid: number } | undefined;
  /** True: by the share even if there is an image, because the image could not be used. */
  readonly withoutImage?: boolean;
  /** Of the container's user namespace, if it has one. */
  readonly userNamespace?: UserNamespaceMaps | undefined;
}

/** A container's read-only layers: disks that the guest mounts, or directories that are mounted below the share. */
export type RootfsLower =
  | {
      readonly kind: "image";
      /** The image's, on which the container has a lease under its own id. */
      readonly key: string;
      readonly path: string;
    }
  | {
      /** Disks that the snapshotter has made itself, the topmost layer first. */
      readonly kind: "disks";
      readonly paths: readonly string[];
    }
  | {
      readonly kind: "share";
      /** `<share>/<container id>`: made first, removed last. */
      readonly directory: string;
      /** `<directory>/rootfs`, where the layers are mounted read-only. */
      readonly target: string;
      /** The topmost first. */
      readonly layers: readonly string[];
    };

/** Everything that {@link RootfsStore.apply} will make. Plain data: it crosses threads and goes into the journal. */
export interface RootfsPlan {
  readonly containerId: string;
  /** Undefined for a disk snapshot, and where the guest has its root elsewhere. */
  readonly lower: RootfsLower | undefined;
  /** The disk to hot-plug: the guest overlay's upper (to be made as a copy of the empty image), or a snapshot that is
   * a disk itself (not ours to make or remove). */
  readonly disk: {
    readonly path: string;
    readonly filesystem: string;
    readonly owned: boolean;
    readonly readonly: boolean;
    /** An owned image that belongs to the snapshot (it lies in its upperdir): {@link RootfsStore.release} leaves it
     * and a later apply finds the container's writes again; containerd removes it with the snapshot. */
    readonly kept?: boolean;
  };
  /** What the guest is told: where its root comes from. `path` is relative to the share. */
  readonly guest: {
    readonly kind: "layers" | "image" | "disk" | "builtin" | "archive";
    readonly path: string;
    readonly readonly: boolean;
  };
  readonly owner: { readonly uid: number; readonly gid: number } | undefined;
  /** The guest maps the layers' ids by the container's user namespace. */
  readonly idmapped?: boolean | undefined;
}

export interface RootfsStore {
  /** Somebody will soon need a worker: has one start, if none is there. */
  warm?(): void;
  /**
   * Reads and checks the mounts. Makes nothing, but a plan with an image has a lease on it: whoever does not go on gives
   * it to {@link releaseImage}. Throws InvalidRootfs, MountOptionsTooLong, Cancelled.
   */
  plan(request: RootfsRequest, signal?: AbortSignal): Promise<RootfsPlan>;
  /**
   * Makes what the plan says, in a worker. A failure undoes its own work. Throws MountFailed, StorageFailed.
   * @param part `lower`: the disk has been made already, for a plan whose image could not be used
   */
  apply(plan: RootfsPlan, signal?: AbortSignal, part?: "all" | "lower"): Promise<void>;
  /** Gives back the lease of a plan with an image, and touches nothing else. Idempotent. */
  releaseImage?(plan: RootfsPlan): Promise<void>;
  /** Makes a prepared disk: an empty writable layer that is plugged in before its container is known. */
  prepareDisk?(
    path: string,
    owner: { readonly uid: number; readonly gid: number } | undefined,
  ): Promise<void>;
  /**
   * Moves a prepared disk to where the plan wants its disk, before {@link apply}; whoever has it open keeps it. False, and
   * nothing is moved, where the plan cannot take one (there is an earlier one, or another filesystem).
   */
  placeDisk?(plan: RootfsPlan, path: string): Promise<boolean>;
  /** Undoes a plan; idempotent, also for a half-applied one. */
  release(plan: RootfsPlan): Promise<void>;
}

/** Writable layers as files, for VMs that have one before they have a container. */
export interface LayerImages {
  /** Changes whenever an empty layer does. */
  identity(): Promise<string>;
  /** Makes an empty one, as sparse as can be. */
  make(image: string, owner: { readonly uid: number; readonly gid: number } | undefined): Promise<void>;
  /** Writes what is in an image to a small file that does not exist yet. */
  pack(image: string, packed: string): Promise<void>;
  /** Makes an image that is byte by byte what was packed. Throws StorageFailed, also for a damaged file. */
  unpack(
    packed: string,
    image: string,
    owner: { readonly uid: number; readonly gid: number } | undefined,
  ): Promise<void>;
}

/** Host-side chores beside root filesystems. All idempotent, all off the main thread. */
export interface HostFiles {
  /** Makes a directory (parents too) with this mode and owner. */
  makeDirectory(
    path: string,
    mode: number,
    owner?: { readonly uid: number; readonly gid: number },
  ): Promise<void>;
  /** Unmounts everything mounted at or below `path` (lazily if busy); NotFound and not-a-mount are success. */
  unmountBelow(path: string): Promise<void>;
  /** Unmounts what is below, then removes the tree without following symlinks or crossing into mounts. */
  removeTree(path: string): Promise<void>;
  /** Removes a file, or what a link of this name is. */
  removeFile(path: string): Promise<void>;
}

/** What a sandbox may take of the host at most, whatever its VMM is. */
export interface GroupLimits {
  readonly memoryBytes: number;
  /** Processes and threads. */
  readonly tasks: number;
}

/** Whether a group itself is limited, whatever the groups above it are. */
export interface OwnLimits {
  readonly memory: boolean;
  readonly cpu: boolean;
}

/** A sandbox's control group, v1 or v2. */
export interface Cgroups {
  /** Plans the directories for a sandbox: one a hierarchy. `parent` as CRI's cgroup_parent; "" = blazar's own. */
  plan(
    sandboxId: string,
    parent: string,
  ): Promise<{ readonly directories: readonly string[]; readonly procs: readonly string[] }>;
  /**
   * @param limits of the sandbox's own group. Where a controller is not handed down to it, it has no limit of that kind; the
   *   limits of the groups above hold in any case
   */
  make(directories: readonly string[], limits?: GroupLimits): Promise<void>;
  /** Bytes of memory that the group `parent` and those above it may have; undefined = no limit, or no such group. */
  memoryLimit(parent: string): number | undefined;
  /** Which limits `parent` has of its own: kubelet gives one to a pod of which all containers have one. */
  limitsOf(parent: string): OwnLimits;
  /**
   * Moves a running process, all its threads, into the groups of these cgroup.procs files. If the host is out of memory, it is
   * killed in the turn of its pod from now on.
   * @param bytes what it may take. Undefined: so little that it is killed late
   */
  enter(procs: readonly string[], pid: number, bytes?: number): Promise<void>;
  /**
   * Limits the processor time of what runs in these groups of one sandbox; undefined = no limit. A group whose parent is limited
   * is left alone in v1: there the parent could not be lowered any more.
   */
  limitCpu(directories: readonly string[], cpu: CpuLimit | undefined): Promise<void>;
  /** What runs in these groups of one sandbox uses, as files of v2. Of a group that is gone there is nothing. */
  usage(directories: readonly string[]): Promise<Readonly<Record<string, string>>>;
  /**
   * Whether the kernel has killed a process of these groups for want of memory: which group, and whose limit it was if there is
   * one. Undefined = it has not, or nobody can tell.
   */
  killedForMemory(directories: readonly string[]): string | undefined;
  /** Kills nothing; EBUSY after the last process has left is retried for a bounded time. */
  remove(directories: readonly string[]): Promise<void>;
}
