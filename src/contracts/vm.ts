/**
 * A virtual machine, as the daemon asks for it and as it runs; who makes one is in vmm.ts.
 *
 * A VM knows nothing of sandboxes and containers. Its guest is whoever speaks on the agent's port, and may be hostile.
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
  /** Network interfaces, 0 to 8; see {@link Vm.nics}. None can be added later. A VM with some needs a keeper that is root. */
  readonly nics: number;
  /** The user the VMM runs as; undefined = the daemon's own (standalone, not root). */
  readonly user: { readonly uid: number; readonly gid: number } | undefined;
  /** cgroup.procs files that the VMM enters before it starts. */
  readonly cgroups: readonly string[];
  readonly source: VmSource;
}

/** Where a VM comes from. */
export type VmSource =
  /** The guest's kernel boots. */
  | { readonly kind: "boot" }
  /** A private copy-on-write copy of a template (see {@link TemplateDriver}) of the same shape; its guest runs. */
  | {
      readonly kind: "clone";
      /** The template's directory. */
      readonly template: string;
      /**
       * Where the clone gets its copy of the template's disk (see {@link TemplateDriver.diskId}): a name that is free, in a
       * directory that the VMM's user may go through. The file belongs to whoever asked; a launch that fails removes it.
       */
      readonly disk: string | undefined;
    }
  /**
   * A copy of a paused VM's process (see vm-forks.ts), of the same shape; its guest runs. It starts in its
   * original's control groups, whatever {@link VmSpec.cgroups} says.
   */
  | {
      readonly kind: "fork";
      /** Id of the VM that it is forked from. */
      readonly original: string;
      /** As for a clone. */
      readonly disk: string | undefined;
    };

/** What of a VM a template is made for; clones of another shape need another template. */
export type VmShape = Pick<VmSpec, "vcpus" | "memoryBytes" | "nics">;

/** Whether one can be a copy of the other. */
export function isSameShape(one: VmShape, other: VmShape): boolean {
  return one.vcpus === other.vcpus && one.memoryBytes === other.memoryBytes && one.nics === other.nics;
}

/** A network interface of a VM, from the host's side. */
export interface VmNic {
  /** Name of the tap. */
  readonly tap: string;
  /** Path of the network namespace that the tap was made in; whoever connects the VM moves it from there. */
  readonly namespace: string;
}

/** A disk on the VM's virtio-scsi bus. */
export interface VmDisk {
  /** Unique in the VM; `[a-z0-9-]{1,31}`. The guest finds it as SCSI serial (VPD page 0x80). */
  readonly id: string;
  /** A raw image that the VMM's user may open. */
  readonly path: string;
  readonly readonly: boolean;
}

/** A virtio-serial port that is plugged into a running VM. */
export interface VmPort {
  /** Unique in the VM; `[a-z0-9.]{1,31}`. The guest finds the port by it, in /sys/class/virtio-ports. */
  readonly name: string;
  /** A unix stream socket that somebody listens on. The VM connects to it once, now. */
  readonly socket: string;
}

/** A read-only disk that a guest mounts for the containers of one OCI image; see images.ts. */
export interface VmImage {
  /** Unique in the VM; `[a-z0-9-]{1,31}`. */
  readonly id: string;
  /** A raw image that the VMM's user may open, and that never changes. */
  readonly path: string;
}

/**
 * The host could not read or write a disk's image. The guest got an error for it (ENOSPC, else EIO) and goes on; later
 * requests may succeed again. Told at most once a second for a disk and a kind of failure, however often it happens.
 */
export interface DiskFailed {
  readonly type: "vmm.diskFailed";
  /** {@link VmDisk.id}; the VMM's own name for a disk that was not attached by this port. */
  readonly disk: string;
  readonly operation: "read" | "write";
  /** The file system of the image is full. */
  readonly noSpace: boolean;
  /** In the host's words: `No space left on device`. */
  readonly reason: string;
}

/** What a VMM reports by itself. `exited` is the last event, after which the source completes. */
export type VmmEvent =
  | { readonly type: "vmm.paused" }
  | { readonly type: "vmm.resumed" }
  | { readonly type: "vmm.guestShutdown"; readonly reason: string }
  | { readonly type: "vmm.guestPanicked" }
  | DiskFailed
  | { readonly type: "vmm.exited"; readonly code: number; readonly signal: number };

/** A duplex byte link, as to the guest's agent port. Writes are queued, never block. */
export interface ByteLink {
  /** Queues bytes; false asks to wait for `onDrain`. */
  write(bytes: Uint8Array): boolean;
  /** Sets the one consumer. `onData` gets a view: copy it to keep it. `onClose` comes once, also after {@link close}. */
  open(handlers: { onData(bytes: Uint8Array): void; onDrain?(): void; onClose(error?: Error): void }): void;
  /** No `onData` until {@link resume}; what the other end sends waits in the kernel, and then that end waits. */
  pause(): void;
  /** Undoes {@link pause}. */
  resume(): void;
  close(): void;
}

/** What is left of a log that is bounded. */
export interface LogEnd {
  readonly bytes: Uint8Array;
  /** Bytes that were ever written: so many of the last ones are new as this has grown by. */
  readonly written: number;
}

/** Whether a guest that has not said hello is alive. */
export interface VmVitals {
  /** CPU time of the VMM since it began, in milliseconds. */
  readonly cpuMs: number;
  /** The guest has written to its console. */
  readonly spoke: boolean;
}

/** A running VM. Methods reject with BlazarError: VmmExited once it is gone, QmpFailed, DeadlineExceeded. */
export interface Vm {
  readonly id: string;
  /** Host pid of the VMM and its start time (field 22 of /proc/PID/stat): what tells it from a reused pid. */
  readonly identity: { readonly pid: number; readonly startTime: number };
  readonly acceleration: Acceleration;
  /** In the order in which the guest has them: the guest knows number n by its permanent MAC address `nicMac(n)`. */
  readonly nics: readonly VmNic[];
  /** Replays `vmm.exited` to late subscribers; other events are not replayed. */
  readonly events: EventSource<VmmEvent>;
  /** Milliseconds from `launch` to each named step, in order. */
  readonly timeline: readonly { readonly step: string; readonly ms: number }[];
  /** Never rejects: of a VMM that is gone, nothing has happened. */
  vitals(): Promise<VmVitals>;
  /** Connects to the agent's port. One link at a time; may be called again after a close. */
  connectAgent(signal?: AbortSignal): Promise<ByteLink>;
  attachDisk(disk: VmDisk): Promise<void>;
  /** Resolves when the VMM has let go of the image. NotFound is success. */
  detachDisk(id: string): Promise<void>;
  /** Plugs a port in, whose host's end is connected. Throws QmpFailed if there is one of this name, StorageFailed or
   * LinkClosed if nobody listens. */
  attachPort(port: VmPort): Promise<void>;
  /** Unplugs a port and closes its connection. NotFound is success. */
  detachPort(name: string): Promise<void>;
  /**
   * Gives the guest a read-only disk and resolves with the serial number that it finds it by. A disk of SLOT_BYTES
   * (images.ts) goes into a free slot of the VM, which the guest has found long before; any other is plugged in.
   * @param chosen may be told the serial of a slot earlier: the guest waits for the slot to show an image
   */
  attachImage(image: VmImage, chosen?: (serial: string) => void): Promise<string>;
  /** Resolves when the VMM has let go of the image; the guest has unmounted it before. NotFound is success. */
  detachImage(serial: string): Promise<void>;
  pause(): Promise<void>;
  resume(): Promise<void>;
  /** Ends the VMM at once (SIGKILL) and resolves when it is reaped and its files are removed. Idempotent. */
  kill(): Promise<void>;
  /** Resolves when the VMM has ended and been reaped, however it came. Never rejects. */
  readonly exited: Promise<{ readonly code: number; readonly signal: number }>;
  /** Last lines of the guest's console and the VMM's stderr, for error messages. */
  diagnostics(): Promise<string>;
  /** The end of a log. Never rejects: what cannot be read is empty. */
  readLog(log: "vmm" | "console"): Promise<LogEnd>;
}
