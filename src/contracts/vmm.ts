/**
 * The port to a virtual machine monitor (QEMU today; Cloud Hypervisor, Firecracker … later).
 *
 * A driver turns a {@link VmSpec} into a running {@link Vm} and knows nothing of sandboxes, containers or
 * containerd. Every driver, the fake one included, passes test/support/conformance/vmm.ts. A failed or aborted
 * `launch` leaves nothing behind: no process, no socket, no file.
 */
import type { EventSource } from "./event-source.ts";

export type Acceleration = "kvm" | "tcg";

/** What a VM shall be. All paths are absolute. */
export interface VmSpec {
  /** Names the VM at the keeper and in logs; unique among living VMs. */
  readonly id: string;
  /** Exists, belongs to this VM alone; sockets and logs go in here. */
  readonly directory: string;
  readonly vcpus: number;
  readonly memoryBytes: number;
  /** Host directory exported to the guest read-only over 9p under protocol's SHARE_TAG; undefined = no share. */
  readonly shareDirectory: string | undefined;
  /** The user the VMM runs as; undefined = the daemon's own (standalone, not root). */
  readonly user: { readonly uid: number; readonly gid: number } | undefined;
  /** cgroup.procs files that the VMM enters before it starts. */
  readonly cgroups: readonly string[];
  /**
   * Directory of a template (see {@link TemplateDriver}) of the same vcpus and memory: the VM is a private copy-on-write
   * clone of it instead of booting, and its agent answers at once. Undefined = boot.
   */
  readonly template?: string | undefined;
  /**
   * Where a clone gets its copy of its template's disk (see {@link TemplateDriver.diskId}): a name that is free, in a
   * directory that the VMM's user may go through. The file belongs to whoever asked; a launch that fails removes it.
   */
  readonly disk?: string | undefined;
  /** The clone is for {@link ForkDriver.original}: it runs nothing of anybody's. */
  readonly forkable?: boolean | undefined;
}

/**
 * A VM that others are forked from, as processes are: they go on where it was paused, with what an emulating VMM has
 * translated. It has served nobody and never runs again. It is ended like any VM, which leaves its forks alone.
 */
export interface OriginalVm {
  /**
   * Makes a VM; `spec` is a clone's, of the original's shape. Its guest runs already.
   * @throws BlazarError as `launch`; nothing is left then
   */
  fork(spec: VmSpec, signal?: AbortSignal): Promise<Vm>;
}

/** How a driver forks VMs. */
export interface ForkDriver {
  /** Whether it can on this host: only emulated guests can be forked, and only they gain by it. */
  possible(signal?: AbortSignal): Promise<boolean>;
  /** Makes an original of a clone that was launched as `forkable`, is as its forks shall be and has no link to its agent. */
  original(vm: Vm, signal: AbortSignal): Promise<OriginalVm>;
}

/** What of a VM a template is made for; clones of another shape need another template. */
export type VmShape = Pick<VmSpec, "vcpus" | "memoryBytes">;

/** What a template depends on. Two with the same key can stand in for each other. */
export interface TemplateIdentity {
  /** Hash of {@link parts}, hex, at least 16 digits: fit for a file name. */
  readonly key: string;
  /** Name → value: VMM binary and version, machine, CPU model, kernel, initramfs, command line, vCPUs, memory, devices. */
  readonly parts: Readonly<Record<string, string>>;
}

/** How a driver makes templates. Knows nothing of where they are kept or when they are needed. */
export interface TemplateDriver {
  /**
   * Id of the disk that a template's VM has: an empty writable layer at first, and as `ready` has left it in every clone,
   * each with a copy of its own. Undefined = they have none.
   */
  readonly diskId: string | undefined;
  identify(shape: VmShape, signal?: AbortSignal): Promise<TemplateIdentity>;
  /**
   * Boots a VM of this shape with the files in `directory` (exists, empty), calls `ready` when it runs and, when that has
   * resolved, pauses it and writes its state. The VM is gone afterwards, whatever happens; after a failure so are the
   * files. Resolves with the steps' durations.
   */
  build(
    shape: VmShape,
    directory: string,
    ready: (vm: Vm, signal: AbortSignal) => Promise<void>,
    signal: AbortSignal,
  ): Promise<readonly { readonly step: string; readonly ms: number }[]>;
  /** Checks that a template's files are whole; `deep` reads all of the memory. Throws DataLoss kinds, NotFound. */
  verify(directory: string, deep: boolean): Promise<void>;
  /** Undefined where the driver cannot fork VMs. */
  readonly forks?: ForkDriver | undefined;
  /** Lets go of what the driver keeps of a template in memory for its clones; living clones are not touched. */
  forget(directory: string): Promise<void>;
}

/** A disk on the VM's virtio-scsi bus. */
export interface VmDisk {
  /** Unique in the VM; `[a-z0-9-]{1,31}`. The guest finds it as SCSI serial (VPD page 0x80). */
  readonly id: string;
  /** A raw image that the VMM's user may open. */
  readonly path: string;
  readonly readonly: boolean;
}

/** What a VMM reports by itself. `exited` is the last event, after which the source completes. */
export type VmmEvent =
  | { readonly type: "vmm.paused" }
  | { readonly type: "vmm.resumed" }
  | { readonly type: "vmm.guestShutdown"; readonly reason: string }
  | { readonly type: "vmm.guestPanicked" }
  | { readonly type: "vmm.exited"; readonly code: number; readonly signal: number };

/** A duplex byte link, as to the guest's agent port. Writes are queued, never block. */
export interface ByteLink {
  /** Queues bytes; false asks to wait for `onDrain`. */
  write(bytes: Uint8Array): boolean;
  /** Sets the one consumer. `onClose` comes once, also after {@link close}. */
  open(handlers: { onData(bytes: Uint8Array): void; onDrain?(): void; onClose(error?: Error): void }): void;
  close(): void;
}

/** A running VM. Methods reject with BlazarError: VmmExited once it is gone, QmpFailed, DeadlineExceeded. */
export interface Vm {
  readonly id: string;
  /** Host pid of the VMM and its start time (field 22 of /proc/PID/stat): what tells it from a reused pid. */
  readonly identity: { readonly pid: number; readonly startTime: number };
  readonly acceleration: Acceleration;
  /** Replays `vmm.exited` to late subscribers; other events are not replayed. */
  readonly events: EventSource<VmmEvent>;
  /** Milliseconds from `launch` to each named step, in order. */
  readonly timeline: readonly { readonly step: string; readonly ms: number }[];
  /** Connects to the agent's port. One link at a time; may be called again after a close. */
  connectAgent(signal?: AbortSignal): Promise<ByteLink>;
  attachDisk(disk: VmDisk): Promise<void>;
  /** Resolves when the VMM has let go of the image. NotFound is success. */
  detachDisk(id: string): Promise<void>;
  pause(): Promise<void>;
  resume(): Promise<void>;
  /** Ends the VMM at once (SIGKILL) and resolves when it is reaped and its files are removed. Idempotent. */
  kill(): Promise<void>;
  /** Resolves when the VMM has ended and been reaped, however it came. Never rejects. */
  readonly exited: Promise<{ readonly code: number; readonly signal: number }>;
  /** Last lines of the guest's console and the VMM's stderr, for error messages. */
  diagnostics(): Promise<string>;
}

export interface VmmDriver {
  /** `"qemu"`, `"fake"`, … */
  readonly name: string;
  /** Checks that the VMM is installed and what it can do; cached. Throws VmmNotInstalled, VmmFailed. */
  probe(signal?: AbortSignal): Promise<{ readonly version: string; readonly acceleration: Acceleration }>;
  /** Undefined where the driver cannot clone. */
  readonly templates: TemplateDriver | undefined;
  /** Starts a VM and resolves when the VMM answers; the guest boots meanwhile. A clone's guest runs already. */
  launch(spec: VmSpec, signal?: AbortSignal): Promise<Vm>;
}
