/**
 * Every configuration key of blazard: its type, its default and its meaning.
 *
 * Validation (load.ts), `docs/configuration.md` and the type {@link Config} all come from this one table, so a new key
 * is written here and nowhere else. A key that is not in the table is refused.
 */
import { forEachDeadline } from "../../contracts/deadlines.ts";
import { LEAST_MEMORY_BYTES } from "../../vmm/common/spec.ts";
import {
  type ConfigKey,
  count,
  foundCount,
  foundPath,
  foundSize,
  loopbackPort,
  milliseconds,
  path,
  percent,
  program,
  size,
  webAddress,
  word,
  yesNo,
} from "./values.ts";

const MEBIBYTE = 2 ** 20;
/** A guest's boot alone fills 42 MB. */
const LEAST_CODE_BYTES = 32 * MEBIBYTE;
/** A new layer has a few directories already. */
const LEAST_LAYER_BYTES = 2 ** 20;

/** Section → key → what it is. */
export const CONFIG_SCHEMA = {
  daemon: {
    state_directory: path(
      "/run/blazar",
      "Directories of sandboxes, journals and sockets: blazard's alone, and only its owner may write to it. One with things of somebody else in it is refused. It may be empty after a reboot. Keep its path short: the path of a unix socket has 107 characters at most.",
    ),
    socket: foundPath(
      "Where containerd's proxy plugin connects (Controller, gRPC). Default: `blazar.sock` in the state directory.",
    ),
    task_socket: foundPath(
      "Where containerd connects for tasks (ttrpc); the keeper holds these connections. Default: `task.sock` in the state directory.",
    ),
    containerd_socket: path(
      "/run/containerd/containerd.sock",
      "The gRPC socket of the containerd whose proxy plugin connects to `daemon.socket`. Task events go to the ttrpc socket beside it, whose name ends in `.ttrpc`.",
    ),
    sandboxer: program(
      "blazar",
      "The name of this daemon in containerd's `proxy_plugins`. By it the reconciler knows which sandboxes of containerd's are its own.",
    ),
    log_level: word(
      ["debug", "info", "warn", "error"],
      "info",
      "The least level that is logged. The log is JSON on standard error.",
    ),
  },
  keeper: {
    binary: foundPath("The keeper's program. Default: the one of the package, or that set-up has built."),
    socket: foundPath("The keeper's control socket. Default: `keeper.sock` in the state directory."),
    start: yesNo(
      true,
      "Start a keeper if none answers. Set it to false under systemd, where the keeper is a unit of its own.",
    ),
  },
  vmm: {
    driver: word(["qemu"], "qemu", "Which VMM runs the sandboxes."),
    binary: program("qemu-system-x86_64", "The VMM's program."),
    kernel: foundPath(
      "The guest kernel, an uncompressed ELF file. Default: the one of the package, or that set-up has built.",
    ),
    initramfs: foundPath(
      "The guest's initramfs with the agent. Default: the one of the package, or that set-up has built.",
    ),
    acceleration: word(
      ["auto", "kvm", "tcg"],
      "auto",
      "`auto` boots a guest with KVM once to find out whether KVM works. If it does not, VMs are emulated (`tcg`), and it is tried again later ([operations.md](operations.md#why-are-guests-emulated)).",
    ),
    vcpus: count(1, 255, 1, "Virtual processors of a sandbox without a CPU limit."),
    memory: size("256M", "Guest memory of a sandbox without a memory limit.", LEAST_MEMORY_BYTES),
    vcpus_limit: foundCount(
      1,
      255,
      "No sandbox has more virtual processors, whatever its limits are. Default: as many as the host has.",
    ),
    memory_limit: foundSize(
      "No sandbox has more guest memory, whatever its limits are. Default: as much as the host has.",
      LEAST_MEMORY_BYTES,
    ),
    memory_step: size(
      "32M",
      "Guest memory comes in multiples of this, so that pods of about one size share templates. A power of two is best.",
      MEBIBYTE,
    ),
    headroom: count(
      1,
      64,
      1,
      "How many times its limits a pod's VM holds, in memory and processors, so that they can be raised while it runs ([sizing.md](sizing.md#limits-that-change)).",
    ),
    translated_code: size(
      "96M",
      "Under emulation only: what a VM's translated code may take of the host's memory. When that is full, it is thrown away and translated again. It is part of what a RuntimeClass's overhead has to cover.",
      LEAST_CODE_BYTES,
    ),
    first_uid: count(
      1000,
      4_000_000_000,
      // beyond those of systemd, of subuid(5) and of pods with users of their own; systemd.io/UIDS-GIDS
      1_900_000_000,
      "VMMs run as users of their own, one each, and as groups of the same numbers. This is the first number; nobody else may use the range.",
    ),
    uid_count: count(
      2,
      1_000_000,
      10_000,
      "How many such users there are. The last one is for VMs of no sandbox: those that become templates or try out KVM.",
    ),
  },
  storage: {
    scratch_directory: path(
      "/var/lib/blazar/scratch",
      "Writable layers of containers whose snapshot has no place for them. Put it on a disk, not on a tmpfs, and keep nothing else there.",
    ),
    layer_size: size(
      "16G",
      "What a container may write at most. Beyond it, it gets ENOSPC. A pod or a container asks for less by the annotation `io.blazar.layer-size`. The empty image of set-up bounds every layer, too: it has 16 GB, or `BLAZAR_LAYER_SIZE`.",
      LEAST_LAYER_BYTES,
    ),
    empty_image: foundPath(
      "The empty ext4 image that writable layers are copied from. Default: the one of the package, or that set-up has built.",
    ),
    file_server: foundPath(
      "The program that serves a guest what it cannot have as a disk. Default: the one of the package, or that set-up has built.",
    ),
    empty_image_extents: foundPath("A JSON list of that image's extents. Default: the one beside it."),
    worker_threads: count(
      1,
      64,
      1,
      "At most so many threads for mounts and copies. They start on demand and end when idle. A mount takes about a millisecond; a thread takes 8 MB, and 75 ms of CPU to start.",
    ),
  },
  pool: {
    min: count(
      0,
      1000,
      0,
      "Warm VMs that are kept even under load, `max` at most. A warm VM has booted, is rehearsed and waits for a pod. Each takes about 50 MB, and some CPU under emulation.",
    ),
    max: count(
      0,
      1000,
      0,
      "Warm VMs that are made while the node has nothing else to do. With 0 there is no pool.",
    ),
    memory_limit: size("4G", "Guest memory of all warm VMs together, at most."),
    pressure_limit: percent(
      10,
      "The pool is emptied when the host is short of memory: when tasks waited for memory for this share of the last ten seconds (PSI, `some avg10`).",
    ),
    busybox: foundPath(
      "A static busybox, which is run once in each warm VM. Default: the one of the package, or that set-up has built.",
    ),
  },
  template: {
    enabled: yesNo(
      true,
      "Clone VMs from a template, a booted VM. The first sandbox of a new size still boots; the template is built behind it.",
    ),
    directory: path(
      "/var/lib/blazar/templates",
      "Where templates are. Their memory is kept in sparse files, on a disk or a tmpfs with room for `template.disk_limit`. Nobody but its owner may write to it. Several daemons may share it.",
    ),
    disk_limit: size(
      "4G",
      "What all templates may take on disk. Above it, the least recently used are removed, but none in use.",
    ),
    fork: yesNo(
      true,
      "Under emulation only: keep an original, a paused VM of the size that pods ask for, which has run a container, and fork pods' VMs from it. The original takes about 100 MB; a fork starts in a third of a clone's time.",
    ),
    fork_library: foundPath(
      "The library that is preloaded into a VMM to make it forkable, and into clones of sealed memory, which would count some of it twice. Default: the one of the package, or that set-up has built.",
    ),
  },
  image: {
    enabled: yesNo(
      true,
      "Attach the read-only layers of containers as disks: one EROFS image for each chain of layers, made once. Without an image the layers are served by a file server, which is slower.",
    ),
    directory: path(
      "/var/lib/blazar/images",
      "Where images are, on a disk with room for `image.disk_limit` and with sparse files of 64 GB. Nobody but its owner may write to it. Several daemons may share it.",
    ),
    disk_limit: size(
      "20G",
      "What all images may take on disk. Above it, the least recently used are removed, but none in use.",
      2 ** 20,
    ),
    inline_limit: milliseconds(
      300,
      "How long a container waits for its image when that is small and not there yet. Others start over the share, and the image is made behind.",
    ),
    mkfs: foundPath(
      "The program `mkfs.erofs`, version 1.8 or later. Default: the one of the package, or that set-up has unpacked.",
    ),
    ahead: yesNo(
      true,
      "Make the image of an OCI image as soon as containerd has unpacked it and the node has nothing else to do, before a pod asks for it. Only for CRI's images, and for the snapshotter overlayfs: others need none.",
    ),
    ahead_existing: count(
      0,
      1000,
      0,
      "For how many of the OCI images that are there already when the daemon starts, the last unpacked first.",
    ),
  },
  network: {
    host: word(
      ["passt", "none"],
      "passt",
      "What pods with `hostNetwork: true` get: the host's network through a helper process, or none at all.",
    ),
    passt: foundPath(
      "The directory of that helper: `bin/pasta` of passt 2026_10 or newer, with its loader and C library in `lib`. Default: the one of the package, or that set-up has unpacked.",
    ),
  },
  inspection: {
    enabled: yesNo(
      true,
      "Record what happens to each sandbox, and serve it: `blazar ps`, `why`, `timeline`, `ui` and metrics work by it. Without it nothing is recorded, and journals have no history.",
    ),
    socket: foundPath(
      "Where operators' tools connect (gRPC, and HTTP/1.1 for `/metrics`), mode 0600. Default: `inspection.sock` in the state directory.",
    ),
    kept_count: count(
      0,
      100_000,
      200,
      "So many sandboxes that have ended are kept for questions, the last ones.",
    ),
    kept_bytes: size(
      "8M",
      "What those may take of the daemon's memory, about. With many events each, fewer of them are kept.",
      2 ** 16,
    ),
    stuck_factor: count(
      2,
      1000,
      5,
      "A sandbox is stuck when a state that waits takes so many times as long as 99 of 100 did before. Where too little is known yet, half of the state's deadline counts. A sandbox whose VMM is halted is stuck, too.",
    ),
    stuck_least: milliseconds(10_000, "No state is stuck before it has taken so long."),
  },
  reconcile: {
    interval: count(
      1000,
      3_600_000,
      60_000,
      "Milliseconds from one comparison of the host, the journals and containerd's list to the next. What nobody holds is removed when two of them have found it.",
    ),
  },
  metrics: {
    listen: loopbackPort(
      "Serve the metrics for Prometheus on this port, too: `http://127.0.0.1:9477/metrics`. Any user of the node may read them. Only addresses of the loopback are taken. Default: only the inspection socket has them.",
    ),
    pods: count(
      0,
      5000,
      250,
      "How many pods have series of their own about their VMM's memory and CPU time, the oldest first.",
    ),
  },
  traces: {
    endpoint: webAddress(
      "Send traces to this OpenTelemetry collector by OTLP over HTTP, to `/v1/traces` below it. Default: there are no traces, and what makes them is not loaded.",
    ),
    ratio: percent(
      100,
      "How many of the traces that begin here are sent. A call that is part of a caller's trace follows the caller.",
    ),
  },
  deadlines: forEachDeadline((_, { ms, wait }) => milliseconds(ms, wait)),
} as const satisfies Readonly<Record<string, Readonly<Record<string, ConfigKey>>>>;

type ValueOf<Key> = Key extends ConfigKey<infer Value> ? Value : never;
type Values<Section> = { readonly [Name in keyof Section]: ValueOf<Section[Name]> };

/** The configuration, every key present. Sizes are in bytes; undefined: the default is found at run time. */
export type Config = {
  readonly [Name in keyof typeof CONFIG_SCHEMA]: Values<(typeof CONFIG_SCHEMA)[Name]>;
};
