/**
 * The messages between daemon and guest agent: requests, events and hellos, with their checks.
 *
 * The daemon sends requests and the agent answers; the agent sends events. The host reads the OCI spec
 * (opencontainers/runtime-spec) and refuses what is not supported, so a message only has what the guest must do. The guest
 * knows nothing of containerd. The daemon allots stream ids.
 */

import {
  array,
  boolean,
  type Check,
  integer,
  object,
  oneOf,
  optional,
  record,
  shortString,
  string,
} from "../wire/json.ts";
import { ALL_CAPABILITIES } from "./capabilities.ts";
import { networkDial } from "./dial.ts";
import { sandboxInventory } from "./inventory.ts";
import { guestNetwork } from "./network.ts";
import { volumeRemove, volumeSwap, volumeWrite } from "./volumes.ts";

/**
 * What the protocol has learned since the major version came: 1 = `sandbox.inventory`, tokens of signals, and hellos that
 * answer. Nothing that an older agent lacks may be needed: `Unimplemented` is an answer. No agent of minor version 0 is ever taken
 * over, because no daemon of its time has left what that needs.
 */
export const GUEST_PROTOCOL_MINOR = 1;

/** Name of the virtio-serial port, in /sys/class/virtio-ports. */
export const AGENT_PORT_NAME = "blazar.agent.0";
/** Kinds of shares, as in contracts/file-servers.ts. */
export const SHARE_KINDS = ["layers", "volumes"] as const;
/** Names of the ports over which file servers serve the shares. */
export const SHARE_PORTS = { layers: "blazar.layers.0", volumes: "blazar.volumes.0" } as const;
/** Where the guest has each share mounted. A volume is a directory or a file below the share that the host has made. */
export const SHARE_PATHS = { layers: "/run/layers", volumes: "/run/volumes" } as const;
/** Serial numbers of a VM's slots: disks that are there from the start, empty, and are filled with an image later. */
export const SLOT_SERIALS = ["slot0", "slot1"] as const;

/** What the kernel takes: user_namespaces(7). */
const MAX_ID_MAPPINGS = 340;

/** Stands for a container's id in requests about processes in the guest itself, outside of all containers. */
export const GUEST_ITSELF = "";

const id = string;
/** An id that a guest tells, which is one that it was told. containerd's have 76 characters at most. */
const toldId = shortString(256);
const uint32 = integer(0, 0xffff_ffff);
const signal = integer(1, 64);

/** What the agent says of itself in its hello. */
export const guestHello = object({
  role: oneOf("guest"),
  agent: string,
  kernel: string,
  /** Milliseconds of the guest's monotonic clock at which each step of its start was done. */
  timeline: record(integer(), 256),
});
export type GuestHello = ReturnType<typeof guestHello>;

/** So many ids from `containerId` on in a user namespace are those from `hostId` on outside: user_namespaces(7). */
const idMapping = object({ containerId: uint32, hostId: uint32, size: integer(1, 0xffff_ffff) });

/** The maps of a user namespace. */
export const userNamespace = object({
  uids: array(idMapping, MAX_ID_MAPPINGS),
  gids: array(idMapping, MAX_ID_MAPPINGS),
});
export type UserNamespaceMaps = ReturnType<typeof userNamespace>;

/** `sandbox.setup`: sets the sandbox up, while it has no container. It may be repeated. */
export const sandboxSetup = object({
  sandboxId: id,
  hostname: string,
  /** Contents of /etc/hosts and /etc/resolv.conf for each container. */
  hosts: string,
  resolvConf: string,
  /** Wall clock, milliseconds since the epoch. */
  now: integer(),
  /** Hex digits from the host's random source. The guest credits them and reseeds its pool. */
  entropy: string,
  /** One PID namespace for all containers of the sandbox. */
  sharedPidNamespace: boolean,
  /** Bytes of /dev/shm that the containers share. */
  shmBytes: integer(0),
  /** The user namespace of the pod's containers. Undefined: they have the guest's own. */
  userNamespace: optional(userNamespace),
  /** The pod's network. Undefined: nothing but `lo`. */
  network: optional(guestNetwork),
  /** Sysctls of the pod by name, set in its namespaces once its links are there. */
  sysctls: record(string),
  /** Files of the cgroup that all containers are in, as `sandbox.limit` writes them. Absent: the host is older. */
  limits: optional(record(string)),
});
export type SandboxSetup = ReturnType<typeof sandboxSetup>;

/** `share.mount`: mounts what a file server serves at the port of this kind of share; it may be repeated. */
export const shareMount = object({ share: oneOf(...SHARE_KINDS) });
/** `share.unmount`: lets go of this share and its port. */
export const shareUnmount = object({ share: oneOf(...SHARE_KINDS) });

/** `network.apply`: what the pod's network is from now on. */
export const networkApply = object({ network: guestNetwork });

/** `clock.adjust`: moves the wall clock by so many milliseconds. Answer: {@link clockReading}. */
export const clockAdjust = object({ by: integer(Number.MIN_SAFE_INTEGER) });
/** What the wall clock shows, in milliseconds since the epoch. */
export const clockReading = object({ now: integer() });

/**
 * A kernel filesystem, tmpfs or bind mount inside a container. `source` of a bind is a path in the share of layers, and of a
 * `shared` in the share of volumes. Of a `volume` it is the name of a volume in the guest's memory, and perhaps a path in
 * it. Of an `own` it is the name of a directory on the container's disk, which begins as what the image has at the
 * destination.
 */
export const guestMount = object({
  type: string,
  source: string,
  destination: string,
  options: array(string, 64),
});
export type GuestMount = ReturnType<typeof guestMount>;

/** Where a container's root comes from, and where it writes to. */
export const guestRootfs = object({
  /** `layers`: an overlay over a path in the share. `image`: one over the disks `imageSerials`. `disk`: the disk itself. `builtin`: an overlay over the small root in
   * the guest's initramfs. `archive`: an OCI image tar in the share, which the guest unpacks into the writable layer. */
  kind: oneOf("layers", "image", "disk", "builtin", "archive"),
  /** Path below the share for `layers` and `archive`; else "". */
  path: string,
  /** SCSI serials of the EROFS disks of an `image`, the topmost first; other containers may use them as well. */
  imageSerials: array(string, 128),
  /** SCSI serial of the disk that carries the writable layer (or, for `disk`, the root); "" = a tmpfs. */
  diskSerial: string,
  /** Filesystem of that disk. */
  filesystem: string,
  readonly: boolean,
});
export type GuestRootfs = ReturnType<typeof guestRootfs>;

/**
 * `disk.prepare`: waits for a disk and mounts it as the writable layer of a later container. The container whose
 * `diskSerial` names the disk takes the mount, instead of finding and mounting the disk. Only one container can.
 */
export const diskPrepare = object({
  /** SCSI serial, `[a-z0-9-]{1,31}`. */
  diskSerial: string,
  filesystem: string,
});
export type DiskPrepare = ReturnType<typeof diskPrepare>;

/** `image.prepare`: mounts an image ahead of the containers that use it. It stays mounted; may be repeated. */
export const imagePrepare = object({
  /** SCSI serial of its disk. */
  serial: string,
});

/** Stream ids of a process; 0 = not connected. With a terminal, stderr is 0. */
export const guestStdio = object({ stdin: uint32, stdout: uint32, stderr: uint32 });
export type GuestStdio = ReturnType<typeof guestStdio>;

/** Far more than the bytes that execve(2) takes have room for in practice. */
export const MAX_TEXTS = 131_072;
/** What the kernel takes: setgroups(2). */
export const NGROUPS_MAX = 65_536;

const capabilitySet = integer(0, ALL_CAPABILITIES);

/** A process to run: the part of an OCI `process` that the guest obeys. */
export const guestProcess = object({
  args: array(string, MAX_TEXTS),
  env: array(string, MAX_TEXTS),
  cwd: string,
  terminal: boolean,
  rows: integer(0, 65_535),
  columns: integer(0, 65_535),
  uid: uint32,
  gid: uint32,
  additionalGids: array(uint32, NGROUPS_MAX),
  umask: optional(integer(0, 0o777)),
  noNewPrivileges: boolean,
  /** Masks with bit n for capability n of capabilities(7). Undefined leaves the capabilities as they are. */
  capabilities: optional(
    object({
      bounding: capabilitySet,
      effective: capabilitySet,
      permitted: capabilitySet,
      inheritable: capabilitySet,
      ambient: capabilitySet,
    }),
  ),
  /** `type` as `RLIMIT_NOFILE`; -1 = unlimited. */
  rlimits: array(object({ type: string, soft: integer(-1), hard: integer(-1) }), 32),
  oomScoreAdj: optional(integer(-1000, 1000)),
});
export type GuestProcess = ReturnType<typeof guestProcess>;

/** A device node to make. */
export const guestDevice = object({
  /** Absolute, in the container. */
  path: string,
  type: oneOf("b", "c", "p"),
  major: uint32,
  minor: uint32,
  mode: integer(0, 0o7777),
  uid: uint32,
  gid: uint32,
});
export type GuestDevice = ReturnType<typeof guestDevice>;

/** A filter of system calls, which every process of a container loads last. */
export const guestSeccomp = object({
  /** Base64 of an array of struct sock_filter. */
  program: string,
  /** SECCOMP_FILTER_FLAG_* of seccomp(2). */
  flags: uint32,
});
export type GuestSeccomp = ReturnType<typeof guestSeccomp>;

/** `container.create`: makes a container, whose first process waits for `process.start`. Answer: {@link pidResult}. */
export const containerCreate = object({
  id,
  rootfs: guestRootfs,
  process: guestProcess,
  stdio: guestStdio,
  mounts: array(guestMount, 1024),
  /** `sandbox`: the shared namespace. `container`: a new one. `target`: the namespace of the container `pidTarget`. */
  pidNamespace: oneOf("sandbox", "container", "target"),
  pidTarget: string,
  maskedPaths: array(string, 256),
  readonlyPaths: array(string, 256),
  sysctl: record(string),
  /** cgroup v2 files to write, by name: `memory.max` → "268435456". */
  cgroup: record(string),
  /** What the writable layer may take on its disk, in bytes. Undefined = as much as there is. */
  layerBytes: optional(integer(0)),
  /** Beside the default devices of the OCI spec. */
  devices: array(guestDevice, 4096),
  /** Base64 of an array of struct bpf_insn, which decides about devices. "" = every device may be used. */
  deviceProgram: string,
  /** For the first process and all others. */
  seccomp: optional(guestSeccomp),
  /** How long the output of an exec that has ended stays open for its children, in milliseconds. */
  drainMs: integer(),
  /** Volumes that are a file, and whose content the host gets when the container ends. */
  returned: array(string, 64),
  /** The container is in the pod's user namespace, which must have these maps. Undefined: in the guest's own. */
  userNamespace: optional(userNamespace),
  /** The layers' ids are those inside of the user namespace. False: they are those outside. */
  idmappedLayers: boolean,
  /** Namespaces of its own; it shares the others with the sandbox. */
  ownNamespaces: array(oneOf("ipc", "uts", "network"), 3),
  /** The names in its own UTS namespace; "" leaves the sandbox's. */
  hostname: string,
  domainname: string,
});
export type ContainerCreate = ReturnType<typeof containerCreate>;

/** `process.exec`: starts a further process in a running container, or one in {@link GUEST_ITSELF}. Answer: {@link pidResult}. */
export const processExec = object({ id, execId: id, process: guestProcess, stdio: guestStdio });
export type ProcessExec = ReturnType<typeof processExec>;

/** `process.start`: lets the first process of a container execute its command. execId "" = the first process. */
export const processRef = object({ id, execId: string });

/** `process.signal`: `all` = every process of the container. */
export const processSignal: Check<ProcessSignal> = object({
  id,
  execId: string,
  signal,
  all: boolean,
  /** A signal whose token was obeyed before is not sent again. */
  token: optional(string),
});
export interface ProcessSignal {
  readonly id: string;
  readonly execId: string;
  readonly signal: number;
  readonly all: boolean;
  readonly token?: string | undefined;
}

/** `process.resize`: the window size of a process's terminal, in cells. */
export const processResize = object({
  id,
  execId: string,
  rows: integer(0, 65_535),
  columns: integer(0, 65_535),
});

/** `container.delete`, `.pids`, `.stats`, `.pause` and `.resume`. Deleting kills the processes that are left and unmounts the root. */
export const containerRef = object({ id });

/** `container.update`: writes files of a running container's cgroup, as in {@link containerCreate}. */
export const containerUpdate = object({ id, cgroup: record(string) });

/** `sandbox.limit`: writes files of the cgroup that all containers are in, now and later. All of them or none. */
export const sandboxLimit = object({ cgroup: record(string) });

/** The contents of a cgroup's files, by name; those that the kernel has. */
export const containerStats = object({ files: record(string, 256) });

/** A pid in the guest's root PID namespace. */
export const pidResult = object({ pid: integer(1) });
export type PidResult = ReturnType<typeof pidResult>;

export const pidsResult = object({
  /** All of the container's processes. */
  pids: array(integer(1)),
  /** Those of them that the host has not asked for: its own processes have started them. Absent: the agent is older. */
  children: optional(array(integer(1))),
});
export type PidsResult = ReturnType<typeof pidsResult>;

/** Event `process.exited`: comes after all of the process's output has been handed over for sending. */
export const processExited = object({
  id: toldId,
  execId: toldId,
  /** 0–255, or 128 + signal. */
  status: integer(0, 255),
  /** The last bytes of the container's `returned` volumes in base64, with its first process's end. */
  returned: array(object({ name: toldId, content: string }), 64),
});
export type ProcessExited = ReturnType<typeof processExited>;

/** Event `agent.log`: a line of the agent's log that an operator should see. */
export const agentLog = object({ level: oneOf("debug", "info", "warn", "error"), message: string });
export type AgentLog = ReturnType<typeof agentLog>;

const nothing: Check<Record<string, never>> = object({});

/** Every request of the daemon: its name → the checks of its params and of its result. */
export const GUEST_REQUESTS = {
  ping: { params: nothing, result: nothing },
  /** The result is what the clock shows after the setup. */
  "sandbox.setup": { params: sandboxSetup, result: clockReading },
  "share.mount": { params: shareMount, result: nothing },
  /** The host asks for it when no container needs the share. */
  "share.unmount": { params: shareUnmount, result: nothing },
  "disk.prepare": { params: diskPrepare, result: nothing },
  "image.prepare": { params: imagePrepare, result: nothing },
  /** Prepares a child of the agent, which makes the next container's first process. Does nothing if there is one. */
  "child.prepare": { params: nothing, result: nothing },
  "network.dial": { params: networkDial, result: nothing },
  /** The pod's namespace on the host has changed; may be repeated. */
  "network.apply": { params: networkApply, result: nothing },
  "clock.adjust": { params: clockAdjust, result: clockReading },
  /** What an earlier daemon has left; waits a moment for execs that are being made. */
  "sandbox.inventory": { params: nothing, result: sandboxInventory },
  "sandbox.limit": { params: sandboxLimit, result: nothing },
  "volume.write": { params: volumeWrite, result: nothing },
  "volume.swap": { params: volumeSwap, result: nothing },
  "volume.remove": { params: volumeRemove, result: nothing },
  "container.create": { params: containerCreate, result: pidResult },
  "container.delete": { params: containerRef, result: nothing },
  "container.pids": { params: containerRef, result: pidsResult },
  "container.update": { params: containerUpdate, result: nothing },
  "container.stats": { params: containerRef, result: containerStats },
  /** Freezes every process of the container, and answers when they are frozen. */
  "container.pause": { params: containerRef, result: nothing },
  "container.resume": { params: containerRef, result: nothing },
  "process.start": { params: processRef, result: pidResult },
  "process.exec": { params: processExec, result: pidResult },
  /** Forgets a process of `process.exec` that has ended. */
  "process.delete": { params: processRef, result: nothing },
  /** Kills an exec that the host has given up and forgets it, whether it is still being made or runs, or is not there. */
  "process.abandon": { params: processRef, result: nothing },
  "process.signal": { params: processSignal, result: nothing },
  "process.resize": { params: processResize, result: nothing },
  /** Kills every container, syncs, answers, then powers the machine off. */
  "sandbox.shutdown": { params: nothing, result: nothing },
} as const satisfies Record<string, { params: Check<unknown>; result: Check<unknown> }>;

export type GuestOp = keyof typeof GUEST_REQUESTS;
export type GuestParams<Op extends GuestOp> = ReturnType<(typeof GUEST_REQUESTS)[Op]["params"]>;
export type GuestResult<Op extends GuestOp> = ReturnType<(typeof GUEST_REQUESTS)[Op]["result"]>;

/** The steps that the agent tells of its answers, if it is asked for them; the host takes no others. */
export const GUEST_STEPS: { readonly [Op in GuestOp]?: readonly string[] } = {
  "sandbox.setup": ["identity", "files", "network"],
  "container.create": ["root", "cgroup", "first process"],
};

/** Every event of the agent. */
export const GUEST_EVENTS = {
  "process.exited": processExited,
  "agent.log": agentLog,
  /** The kernel has killed processes of the container for want of memory. Comes before the end of a killed process. */
  "container.oomKilled": containerRef,
} as const;
