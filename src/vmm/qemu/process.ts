/**
 * QEMU as a process: which user, capabilities, limits and files the keeper gives it.
 *
 * With a user of its own it keeps one capability, and only if it has a share to serve: images hold files that
 * only root may read. Kernel and initramfs come as descriptors then, because a cache below someone's home is
 * closed to it. It is never plain root where the daemon names a user.
 */
import { constants } from "node:fs";
import type { ProcessSpawn, SpawnFile } from "../../contracts/keeper.ts";
import type { VmDisk, VmSpec } from "../../contracts/vm.ts";
import { type CommandLineInput, commandLine, type GuestMemory, type Protection } from "./command-line.ts";

const STDOUT = 1;
const STDERR = 2;
const KERNEL = 3;
const INITRAMFS = 4;
const MEMORY = 5;
/** A template's disk while it is made. */
const DISK = 7;
/** A clone's devices' state. */
export const STATE = 6;
/** The first that an {@link Extra} may take. */
export const FIRST_EXTRA = 8;

/** Where a VM's memory comes from, in the host's paths. */
export type MemorySource =
  | { readonly kind: "own" }
  /** A file that exists and belongs to the VM's user. */
  | { readonly kind: "saved"; readonly memory: string; readonly disk?: VmDisk | undefined }
  | {
      readonly kind: "cloned";
      readonly memory: string;
      readonly protection: Protection;
      readonly state: string;
      /** The clone's own copy; its VM's user may open it. */
      readonly disk?: VmDisk | undefined;
    };

/** What a VMM has beyond what every VMM has: what is preloaded into one that others are forked from (tcg/). */
export interface Extra {
  readonly env: readonly string[];
  readonly files: readonly SpawnFile[];
  /** Kept only by a VMM with a user of its own. */
  readonly capabilities: readonly string[];
  readonly forkControl: number;
}

export interface ProcessInput extends Omit<CommandLineInput, "memory" | "disk"> {
  /** Default: its own. */
  readonly source?: MemorySource;
  readonly extra?: Extra | undefined;
}

const OWN: MemorySource = { kind: "own" };

/** What the host has to offer, found once. */
export interface HostFacts {
  /** Hard limit of open files that may be given on; undefined leaves the limit alone. */
  readonly maxOpenFiles: number | undefined;
  /** Group that owns /dev/kvm; undefined without it. */
  readonly kvmGroup: number | undefined;
}

/** What the keeper shall start. */
export function vmmProcess(input: ProcessInput, facts: HostFacts): ProcessSpawn {
  const { spec, paths, accelerator, extra } = input;
  const confined = spec.user !== undefined;
  const images = confined
    ? { kernel: descriptorPath(KERNEL), initramfs: descriptorPath(INITRAMFS) }
    : { kernel: input.kernel, initramfs: input.initramfs };
  return {
    id: spec.id,
    argv: commandLine({ ...input, ...images, memory: guestMemory(input.source), disk: disk(input.source) }),
    env: ["LC_ALL=C", ...(extra?.env ?? [])],
    cwd: "/",
    uid: spec.user?.uid,
    gid: spec.user?.gid,
    groups: accelerator.name === "kvm" && facts.kvmGroup !== undefined && confined ? [facts.kvmGroup] : [],
    capabilities: [...capabilities(spec), ...(confined ? (extra?.capabilities ?? []) : [])],
    files: [
      ...logFiles(paths.log),
      ...(confined ? imageFiles(input) : []),
      ...memoryFiles(input.source),
      ...(extra?.files ?? []),
    ],
    cgroups: spec.cgroups,
    rlimits: limits(facts),
    // QEMU asks for them for translated code: clearing them takes a clone longer than all its other page faults
    hugePages: false,
    forkControl: extra?.forkControl,
  };
}

/** Opening it opens the descriptor's file anew, with no look at the directories above it (proc(5)). */
export function descriptorPath(fd: number): string {
  return `/proc/self/fd/${fd}`;
}

/** What a VMM with a user of its own may do beyond that. */
export function capabilities(spec: VmSpec): string[] {
  return spec.user !== undefined && spec.shareDirectory !== undefined ? ["CAP_DAC_READ_SEARCH"] : [];
}

function logFiles(path: string): SpawnFile[] {
  const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_APPEND | constants.O_NOFOLLOW;
  return [STDOUT, STDERR].map((fd) => ({ fd, path, flags, mode: 0o600 }));
}

function imageFiles({ kernel, initramfs, source = OWN }: ProcessInput): SpawnFile[] {
  if (source.kind === "cloned") return [];
  return [
    { fd: KERNEL, path: kernel, flags: constants.O_RDONLY, mode: 0 },
    { fd: INITRAMFS, path: initramfs, flags: constants.O_RDONLY, mode: 0 },
  ];
}

/** The same under another user: the directory of a template is closed to it. */
function guestMemory(source: MemorySource = OWN): GuestMemory {
  const path = descriptorPath(MEMORY);
  if (source.kind === "own") return source;
  if (source.kind === "saved") return { kind: "saved", path };
  return { kind: "cloned", path, protection: source.protection };
}

/**
 * That of a template is opened by a descriptor, too. A clone opens its own by name: a descriptor that it inherits would
 * keep the file on the host's disk after the container, and the guest's disk, are gone.
 */
function disk(source: MemorySource = OWN): VmDisk | undefined {
  if (source.kind === "own" || source.disk === undefined) return undefined;
  return source.kind === "saved" ? { ...source.disk, path: descriptorPath(DISK) } : source.disk;
}

function memoryFiles(source: MemorySource = OWN): SpawnFile[] {
  if (source.kind === "own") return [];
  const writable = source.kind === "saved" || source.protection === "sealed";
  const flags = writable ? constants.O_RDWR : constants.O_RDONLY;
  const memory = { fd: MEMORY, path: source.memory, flags, mode: 0 };
  if (source.kind === "saved") {
    return source.disk === undefined
      ? [memory]
      : [memory, { fd: DISK, path: source.disk.path, flags: constants.O_RDWR, mode: 0 }];
  }
  return [memory, { fd: STATE, path: source.state, flags: constants.O_RDONLY, mode: 0 }];
}

function limits({ maxOpenFiles }: HostFacts): ProcessSpawn["rlimits"] {
  const core = { type: "RLIMIT_CORE", soft: 0, hard: 0 };
  if (maxOpenFiles === undefined) return [core];
  return [core, { type: "RLIMIT_NOFILE", soft: maxOpenFiles, hard: maxOpenFiles }];
}
