/**
 * QEMU as a process: which user, jail, limits, files and sockets the keeper gives it.
 *
 * All that it opens it gets as descriptors. In its jail there is no path to open, and without one a cache below someone's
 * home may be closed to its user. What it may have of the host is in common/confinement.ts.
 */
import { constants } from "node:fs";
import { totalmem } from "node:os";
import type { Jail, ProcessSpawn, SpawnFile, SpawnSocket } from "../../contracts/keeper.ts";
import type { VmDisk } from "../../contracts/vm.ts";
import { oomScoreAdj } from "../../lib/oom-score.ts";
import {
  descriptorPath,
  groups,
  type HostFacts,
  isConfined,
  jail,
  limits,
  logFiles,
  VHOST_NET_DEVICE,
} from "../common/confinement.ts";
import type { VmPaths } from "../common/vm-paths.ts";
import type { Accelerator } from "./accelerator.ts";
import {
  AGENT_SOCKET,
  CONTROL_SOCKET,
  type CommandLineInput,
  commandLine,
  DISK,
  type GuestMemory,
  type Protection,
  tapDescriptors,
  vhostDescriptors,
} from "./command-line.ts";
import type { Caller } from "./system-calls.ts";

const KERNEL = 3;
const INITRAMFS = 4;
const MEMORY = 5;
/** The state of a clone's devices. */
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

/** Nobody but the keeper's own user may connect. */
const SOCKET_MODE = 0o600;

/** Filters of what a VMM may call, compiled. */
export type QemuFilters = { readonly [Of in Caller]: string };

/** What one VMM has beyond what every VMM has: a preloaded library, and what an original needs (tcg/). */
export interface Extra {
  readonly env: readonly string[];
  readonly files: readonly SpawnFile[];
  /** Users of its copies; only a VMM with a user of its own has this and the capabilities. */
  readonly forks?: NonNullable<Jail["forks"]>;
  readonly capabilities?: readonly string[];
  readonly forkControl?: number;
}

/** The descriptor of {@link preload}'s library. */
const LIBRARY = FIRST_EXTRA + 1;

/** Preloads native/fork: a clone's memory is not counted twice, and what is told to be an original can be forked. */
export function preload(library: string): Extra {
  const file = { fd: LIBRARY, path: library, flags: constants.O_RDONLY, mode: 0 };
  return { env: [`LD_PRELOAD=${descriptorPath(LIBRARY)}`], files: [file] };
}

/** The same library in the place of QEMU's own filter, beside what a VMM has of it already. */
function filteredBy(library: string, extra: Extra = preload(library)): Extra {
  return { ...extra, env: [...extra.env, "BLAZAR_LAST_PROGRAM=1"] };
}

export interface ProcessInput extends Omit<CommandLineInput, "memory" | "disk" | "hasOwnFilter"> {
  readonly filterLibrary: string | undefined;
  readonly paths: VmPaths;
  /** Default: its own. */
  readonly source?: MemorySource;
  readonly extra?: Extra | undefined;
  readonly calls: QemuFilters;
}

const OWN: MemorySource = { kind: "own" };

/** What the keeper shall start. */
export function vmmProcess(input: ProcessInput, facts: HostFacts): ProcessSpawn {
  const { spec, paths, accelerator, filterLibrary } = input;
  const extra = filterLibrary === undefined ? input.extra : filteredBy(filterLibrary, input.extra);
  const confined = isConfined(spec);
  const vhostNet = usesVhostNet(accelerator, facts);
  const images = confined
    ? { kernel: descriptorPath(KERNEL), initramfs: descriptorPath(INITRAMFS) }
    : { kernel: input.kernel, initramfs: input.initramfs };
  return {
    id: spec.id,
    argv: commandLine({
      ...input,
      ...images,
      memory: guestMemory(input.source),
      disk: disk(input.source),
      vhostNet,
      hasOwnFilter: filterLibrary === undefined,
    }),
    env: ["LC_ALL=C", ...(extra?.env ?? [])],
    cwd: "/",
    uid: spec.user?.uid,
    gid: spec.user?.gid,
    groups: groups(spec, accelerator.name, facts),
    capabilities: confined ? (extra?.capabilities ?? []) : [],
    files: [
      ...logFiles(paths.log),
      ...(confined ? imageFiles(input) : []),
      ...memoryFiles(input.source),
      ...(extra?.files ?? []),
      ...(vhostNet ? vhostFiles(spec.nics) : []),
    ],
    sockets: sockets(paths),
    taps: tapDescriptors(spec.nics).map((fd) => ({ fd })),
    jail: confined ? qemuJail(input, facts) : undefined,
    cgroups: spec.cgroups,
    oomScoreAdj: oomScoreAdj(spec.cgroups, spec.memoryBytes / totalmem()),
    rlimits: limits(facts, confined),
    // QEMU asks for huge pages for translated code: clearing them takes a clone longer than all its other page faults.
    hugePages: false,
    forkControl: extra?.forkControl,
  };
}

function qemuJail({ binary, accelerator: { name }, extra, calls }: ProcessInput, facts: HostFacts): Jail {
  const common = jail(binary, name, facts);
  if (extra?.forks === undefined) return { ...common, calls: calls[name] };
  return { ...common, calls: calls.original, forks: { ...extra.forks, calls: calls[name] } };
}

/** Whether the NICs of VMs go by vhost-net. An emulated guest has nothing that the host's kernel could signal it by. */
export function usesVhostNet({ name }: Accelerator, { vhostNet }: HostFacts): boolean {
  return name === "kvm" && vhostNet;
}

function vhostFiles(nics: number): SpawnFile[] {
  return vhostDescriptors(nics).map((fd) => ({
    fd,
    path: VHOST_NET_DEVICE,
    flags: constants.O_RDWR,
    mode: 0,
  }));
}

function imageFiles({ kernel, initramfs, source = OWN }: ProcessInput): SpawnFile[] {
  if (source.kind === "cloned") return [];
  return [
    { fd: KERNEL, path: kernel, flags: constants.O_RDONLY, mode: 0 },
    { fd: INITRAMFS, path: initramfs, flags: constants.O_RDONLY, mode: 0 },
  ];
}

/** By a descriptor under every user. */
function guestMemory(source: MemorySource = OWN): GuestMemory {
  const path = descriptorPath(MEMORY);
  if (source.kind === "own") return source;
  if (source.kind === "saved") return { kind: "saved", path };
  return { kind: "cloned", path, protection: source.protection };
}

function disk(source: MemorySource = OWN): VmDisk | undefined {
  return source.kind === "own" ? undefined : source.disk;
}

/** Made by the keeper. */
export function sockets({ control, agent }: VmPaths): SpawnSocket[] {
  return [
    { fd: CONTROL_SOCKET, path: control, mode: SOCKET_MODE },
    { fd: AGENT_SOCKET, path: agent, mode: SOCKET_MODE },
  ];
}

function memoryFiles(source: MemorySource = OWN): SpawnFile[] {
  if (source.kind === "own") return [];
  const writable = source.kind === "saved" || source.protection === "sealed";
  const flags = writable ? constants.O_RDWR : constants.O_RDONLY;
  const memory = { fd: MEMORY, path: source.memory, flags, mode: 0 };
  const state =
    source.kind === "cloned" ? [{ fd: STATE, path: source.state, flags: constants.O_RDONLY, mode: 0 }] : [];
  const image =
    source.disk === undefined ? [] : [{ fd: DISK, path: source.disk.path, flags: constants.O_RDWR, mode: 0 }];
  return [memory, ...state, ...image];
}
