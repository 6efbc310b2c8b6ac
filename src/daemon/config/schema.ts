/**
 * Every configuration key of blazard: its type, its default and its meaning.
 *
 * The one table behind validation (load.ts), `docs/configuration.md` (generated from it) and the defaults. A key
 * that is not in here is refused. Sizes are written as `256M` or a number of bytes, times in milliseconds.
 */
import * as z from "zod/mini";
import { DEFAULT_DEADLINES, type Deadlines } from "../../contracts/deadlines.ts";

/** One key of a section. */
export interface ConfigKey {
  /** Checks and converts what TOML gave. */
  readonly schema: z.ZodMiniType;
  /** As it would stand in the file; undefined = found at run time, as `doc` says. */
  readonly fallback: string | number | boolean | undefined;
  /** Type in an operator's words. */
  readonly type: string;
  readonly doc: string;
}

const UNITS: Readonly<Record<string, number>> = { K: 2 ** 10, M: 2 ** 20, G: 2 ** 30, T: 2 ** 40 };
const SIZE = /^(\d{1,9})([KMGT]?)i?B?$/;

/** Reads `256M`, `1GiB` or a number of bytes; undefined if it is neither. */
export function parseSize(value: string | number): number | undefined {
  if (typeof value === "number") return Number.isSafeInteger(value) && value >= 0 ? value : undefined;
  const [, digits, unit] = SIZE.exec(value.trim()) ?? [];
  if (digits === undefined) return undefined;
  return Number(digits) * (UNITS[unit ?? ""] ?? 1);
}

const absolutePath = z.string().check(z.refine((value) => value.startsWith("/"), "must be an absolute path"));
const size = z.pipe(
  z
    .union([z.string(), z.number()])
    .check(
      z.refine(
        (value) => parseSize(value) !== undefined,
        'must be a size such as "256M" or a number of bytes',
      ),
    ),
  z.transform((value) => parseSize(value) ?? 0),
);
const milliseconds = z.int().check(z.minimum(1), z.maximum(3_600_000));
const count = (least: number, most: number) => z.int().check(z.minimum(least), z.maximum(most));

function key(schema: z.ZodMiniType, type: string, fallback: ConfigKey["fallback"], doc: string): ConfigKey {
  return { schema, type, fallback, doc };
}

const path = (fallback: string | undefined, doc: string) => key(absolutePath, "absolute path", fallback, doc);

const DEADLINE_DOCS: Readonly<Record<keyof Deadlines, string>> = {
  provision: "Directories, cgroups and the network of a new sandbox.",
  startQueue: "Waiting for a turn, when many sandboxes start at once.",
  adopt: "Taking a warm VM from the pool over.",
  launch: "From spawning the VMM until it answers; for a clone, until it runs.",
  agentHello: "From then until the guest's agent says hello.",
  guestSetup: "Host name, share, entropy and clock in the guest.",
  containerCreate: "Storage, disk and the guest's part of a new container.",
  processStart: "From start until the guest has called execve.",
  containerDelete: "Undoing a container: guest, disk, mounts.",
  guestRequest: "Any other request to a guest: signals, resizes.",
  stopContainers: "Killing all containers of a sandbox that stops.",
  guestShutdown: "From asking the guest to power off until the VMM has ended; then it is killed.",
  vmmExit: "From killing the VMM until it is reaped.",
  networkTeardown: "Undoing a sandbox's network.",
  storageTeardown: "Undoing a sandbox's storage.",
};

/** Section → key → what it is. */
export const CONFIG_SCHEMA = {
  daemon: {
    state_directory: path(
      "/run/blazar",
      "Sandboxes' directories, journals and sockets. Need not survive the host; keep its path short, unix sockets have 107 characters.",
    ),
    socket: path(
      undefined,
      "containerd's proxy plugin connects here (Controller, gRPC). Default: `blazar.sock` in the state directory.",
    ),
    task_socket: path(
      undefined,
      "containerd's Task connections (ttrpc), held by the keeper. Default: `task.sock` in the state directory.",
    ),
    containerd_socket: path(
      "/run/containerd/containerd.sock",
      "containerd's gRPC socket. Task events are sent to the ttrpc socket beside it (this name and `.ttrpc`).",
    ),
    log_level: key(
      z.enum(["debug", "info", "warn", "error"]),
      "`debug`, `info`, `warn` or `error`",
      "info",
      "Least level of log lines, written to standard error as JSON.",
    ),
  },
  keeper: {
    binary: path(undefined, "The keeper. Default: the one that set-up has built."),
    socket: path(undefined, "The keeper's control socket. Default: `keeper.sock` in the state directory."),
    start: key(
      z.boolean(),
      "boolean",
      true,
      "Start a keeper if none answers. Under systemd the keeper is a unit of its own: false.",
    ),
  },
  vmm: {
    driver: key(z.enum(["qemu"]), "`qemu`", "qemu", "Which VMM runs the sandboxes."),
    binary: key(
      z.string().check(z.minLength(1)),
      "program name or path",
      "qemu-system-x86_64",
      "The VMM's program.",
    ),
    kernel: path(undefined, "Guest kernel, uncompressed ELF. Default: the one that set-up has built."),
    initramfs: path(undefined, "Guest initramfs with the agent. Default: the one that set-up has built."),
    acceleration: key(
      z.enum(["auto", "kvm", "tcg"]),
      "`auto`, `kvm` or `tcg`",
      "auto",
      "`auto` boots a guest with KVM once to see whether it works, and falls back to software emulation.",
    ),
    vcpus: key(count(1, 255), "integer", 1, "Virtual processors of a sandbox."),
    memory: key(size, "size", "256M", "Guest memory of a sandbox."),
    first_uid: key(
      count(1000, 4_000_000_000),
      "integer",
      610_000,
      "First of the users (and groups of the same number) that VMMs run as, one each. Keep the range free of others.",
    ),
    uid_count: key(
      count(2, 1_000_000),
      "integer",
      10_000,
      "How many such users there are. The last one is for VMs that become templates or find out whether KVM works.",
    ),
  },
  storage: {
    scratch_directory: path(
      "/var/lib/blazar/scratch",
      "Writable layers of containers whose snapshot has no place for them. On a disk, not on tmpfs.",
    ),
    empty_image: path(
      undefined,
      "The empty ext4 image that writable layers are copied from. Default: the one that set-up has built.",
    ),
    empty_image_extents: path(undefined, "JSON list of that image's extents. Default: the one beside it."),
    worker_threads: key(
      count(1, 64),
      "integer",
      1,
      "Most threads for mounts and copies. They start on demand and end when idle; a mount takes about a millisecond, a thread 8 MB and 75 ms of CPU to start.",
    ),
  },
  pool: {
    min: key(
      count(0, 1000),
      "integer",
      0,
      "Warm VMs (booted, rehearsed, waiting for a pod) that are kept even under load. Each costs about 50 MB and some idle CPU under software emulation.",
    ),
    max: key(
      count(0, 1000),
      "integer",
      0,
      "Warm VMs that are made while the node has nothing else to do. 0 = no pool.",
    ),
    memory_limit: key(size, "size", "4G", "Guest memory that warm VMs may have in all."),
    pressure_limit: key(
      count(1, 100),
      "percent",
      10,
      "The pool is drained when tasks waited for memory for this share of the last ten seconds (PSI, some avg10).",
    ),
    busybox: path(
      undefined,
      "A static busybox, run once in each warm VM. Default: the one that set-up has built.",
    ),
  },
  template: {
    enabled: key(
      z.boolean(),
      "boolean",
      true,
      "Clone sandboxes' VMs from a booted template. One is built when a VM of a new size is first asked for, which boots.",
    ),
    directory: path(
      "/var/lib/blazar/templates",
      "Where templates are. Memory is kept as sparse files: on a disk or a tmpfs with room for `template.disk_limit`. May be shared by several daemons.",
    ),
    disk_limit: key(
      size,
      "size",
      "4G",
      "What all templates may take on disk; beyond it the least recently used are dropped, but none in use.",
    ),
    fork: key(
      z.boolean(),
      "boolean",
      true,
      "Under emulation: keep one VM of the default size that has run a container and is paused, of whose process pods' VMs are forks. It takes about 100 MB; a start takes a third of a clone's time.",
    ),
    fork_library: path(
      undefined,
      "What is preloaded into a VMM that is forked. Default: the one that set-up has built.",
    ),
  },
  deadlines: Object.fromEntries(
    (Object.keys(DEFAULT_DEADLINES) as (keyof Deadlines)[]).map((name) => [
      name,
      key(milliseconds, "milliseconds", DEFAULT_DEADLINES[name], DEADLINE_DOCS[name]),
    ]),
  ) as Readonly<Record<keyof Deadlines, ConfigKey>>,
} as const satisfies Readonly<Record<string, Readonly<Record<string, ConfigKey>>>>;

/** The configuration, every key present. Undefined where the default is found at run time. */
export interface Config {
  readonly daemon: {
    readonly state_directory: string;
    readonly socket: string | undefined;
    readonly task_socket: string | undefined;
    readonly containerd_socket: string;
    readonly log_level: "debug" | "info" | "warn" | "error";
  };
  readonly keeper: {
    readonly binary: string | undefined;
    readonly socket: string | undefined;
    readonly start: boolean;
  };
  readonly vmm: {
    readonly driver: "qemu";
    readonly binary: string;
    readonly kernel: string | undefined;
    readonly initramfs: string | undefined;
    readonly acceleration: "auto" | "kvm" | "tcg";
    readonly vcpus: number;
    /** Bytes. */
    readonly memory: number;
    readonly first_uid: number;
    readonly uid_count: number;
  };
  readonly storage: {
    readonly scratch_directory: string;
    readonly empty_image: string | undefined;
    readonly empty_image_extents: string | undefined;
    readonly worker_threads: number;
  };
  readonly pool: {
    readonly min: number;
    readonly max: number;
    /** Bytes. */
    readonly memory_limit: number;
    readonly pressure_limit: number;
    readonly busybox: string | undefined;
  };
  readonly template: {
    readonly enabled: boolean;
    readonly directory: string;
    /** Bytes. */
    readonly disk_limit: number;
    readonly fork: boolean;
    readonly fork_library: string | undefined;
  };
  readonly deadlines: Deadlines;
}
