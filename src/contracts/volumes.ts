/**
 * The port of volumes: what a spec binds from the host, looked at, copied, mounted for a file server, and written back.
 *
 * The kind of a volume is decided in one place (oci/spec/volumes.ts) from what the spec asks and what the host has there;
 * whoever has the plan obeys it. Contents of volumes may be secrets: no error, log line or journal may have any of them.
 */

/** A bind of the host in a container's spec. */
export interface VolumeRequest {
  /** Where the spec has it, such as `mounts[3]`; for messages. */
  readonly field: string;
  /** A path of the host. */
  readonly source: string;
  /** In the container; for messages. */
  readonly destination: string;
  readonly readonly: boolean;
  /** What is mounted below the source is part of it. */
  readonly recursive: boolean;
  /** What the host mounts there later is seen as well (HostToContainer). */
  readonly slave: boolean;
  /** It is idmapped: the ids of its files are ids in the container's user namespace. */
  readonly idmapped: boolean;
}

/** Permissions, with set-uid, set-gid and sticky, and whose it is. */
export interface VolumeOwner {
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
}

/** Something in a copied volume. */
export interface VolumeEntry extends VolumeOwner {
  /** Below the volume; "" is the volume itself. */
  readonly path: string;
  readonly type: "directory" | "file" | "link";
  /** Milliseconds since the epoch. */
  readonly mtimeMs: number;
  /** Base64 of a file's bytes, or the target of a link. */
  readonly content: string;
  /** Another one whenever a file's bytes may have changed. */
  readonly version: string;
}

/** What the host has at a source, links followed. */
export interface SourceFacts extends VolumeOwner {
  readonly type: "directory" | "file" | "socket" | "fifo" | "block" | "character" | "missing";
  readonly major: number;
  readonly minor: number;
  /** Of the source's file system, as statfs(2) names it. */
  readonly filesystem: "tmpfs" | "hugetlbfs" | "other";
  readonly filesystemBytes: number;
  /** The whole is mounted where it is: what is above it is another file system. */
  readonly mounted: boolean;
  /**
   * What the source is a part of, if it is a bind of a part (subPath): the path that it has below the mount of the whole.
   * Otherwise the source itself.
   */
  readonly origin: string;
  /** The owner of the whole. */
  readonly originOwner: VolumeOwner;
}

/** What a source could be copied as; a reason where it cannot. */
export type VolumeCopy = { readonly entries: readonly VolumeEntry[] } | { readonly refused: string };

/** A directory of the host that the guest has a copy of, in its memory. The copy follows it. */
export interface CopiedVolume {
  readonly kind: "copied";
  readonly key: string;
  readonly source: string;
  readonly entries: readonly VolumeEntry[];
  /** False for a part of a volume (subPath): kubelet promises no updates of it. */
  readonly followed: boolean;
}

/** A file of the host that the guest has a copy of, in its memory. */
export interface FileVolume {
  readonly kind: "file";
  readonly key: string;
  readonly source: string;
  readonly entry: VolumeEntry;
  /** The host gets it back when its container ends. */
  readonly writtenBack: boolean;
}

/** A tmpfs of the guest, for as long as the pod lives. */
export interface MemoryVolume {
  readonly kind: "memory";
  readonly key: string;
  readonly bytes: number;
  readonly root: VolumeOwner;
  /** A directory below it (subPath), made if it is missing; "" is the whole. */
  readonly path: string;
  readonly owner: VolumeOwner;
}

/** A directory on the container's own disk, with what its OCI image has at the destination. */
export interface OwnVolume {
  readonly kind: "own";
}

/** A node that the guest makes for a device of its own. */
export interface DeviceVolume extends VolumeOwner {
  readonly kind: "device";
  readonly type: "b" | "c";
  readonly major: number;
  readonly minor: number;
}

/** Files of the host itself, by a file server. */
export interface SharedVolume {
  readonly kind: "shared";
  readonly key: string;
  readonly source: string;
  readonly directory: boolean;
  readonly readonly: boolean;
  readonly recursive: boolean;
  readonly slave: boolean;
  /** Why it is not copied, though a volume of its sort is. */
  readonly instead: string | undefined;
}

/**
 * Where a volume lives, and how its guest comes by it. Containers whose plans have one key have the same volume.
 */
export type VolumePlan = CopiedVolume | FileVolume | MemoryVolume | OwnVolume | DeviceVolume | SharedVolume;

export type VolumeKind = VolumePlan["kind"];

/** A bind of the host's that a file server can serve. Plain data: it goes into the journal. */
export interface VolumeMount
  extends Pick<SharedVolume, "source" | "directory" | "readonly" | "recursive" | "slave"> {
  /** Absolute; made as a directory or an empty file, and removed with the mount. */
  readonly target: string;
}

/** What a watch tells. */
export interface VolumeNews {
  changed(): void;
  /** It cannot be watched: the system has no watch left. */
  blind(error: unknown): void;
}

/** A look at a directory that goes on. */
export interface VolumeWatch {
  close(): void;
}

export interface HostVolumes {
  /**
   * Looks at the sources and decides what becomes of each; copies are read. Changes nothing.
   * Throws UnsupportedSpec for what a VM cannot have, naming the mount; StorageFailed; DeadlineExceeded if a source's server does
   * not answer.
   * @param owner of one owner, one source at most is waited for at a time
   */
  plan(requests: readonly VolumeRequest[], owner: string): Promise<readonly VolumePlan[]>;
  /** The entries of a copied volume as they are now; undefined if it cannot be copied any more. Throws StorageFailed. */
  read(source: string): Promise<readonly VolumeEntry[] | undefined>;
  /**
   * Tells whenever something in the directory itself changes its name, and once if it is not of this version any more.
   * Costs one watch, whatever is in it. Never throws.
   */
  watch(source: string, version: string, tell: VolumeNews): VolumeWatch;
  /** Binds below a directory that is served; a failure leaves nothing. Throws MountFailed, DeadlineExceeded. */
  mount(mount: VolumeMount): Promise<void>;
  /** Takes a bind away, with what is mounted below it; idempotent, also for half of one. */
  unmount(mount: Pick<VolumeMount, "target">): Promise<void>;
  /**
   * Writes to the regular file at the path, if it is still the one of which this is a version, and makes none.
   * Throws StorageFailed.
   */
  writeBack(path: string, version: string, bytes: Uint8Array): Promise<void>;
}
