/**
 * The sandbox port: what the Controller adapter may ask of the sandboxes.
 *
 * One method per RPC of containerd.services.sandbox.v1.Controller, in the project's own words: no protobuf
 * and no wire status appears here. Failures are `BlazarError`s; `rpc/status.ts` translates their kinds.
 */

import type { UserNamespaceMaps } from "./id-maps.ts";
import type { CgroupStats } from "./stats.ts";

/** How the processes of a pod's containers see each other (CRI NamespaceMode). */
export type PidMode = "container" | "pod" | "target";

/** A port that a pod's container declares (CRI PortMapping). */
export interface PodPort {
  readonly protocol: "tcp" | "udp" | "sctp";
  /** 0 = not said. */
  readonly containerPort: number;
  /** 0 = not said. */
  readonly hostPort: number;
  /** Address of the host; "" = all. */
  readonly hostIp: string;
}

/** What a sandbox is to be; everything that CRI says about a pod that a sandboxer must act upon. */
export interface SandboxSpec {
  /** The sandbox's id, chosen by containerd, unique on the node. */
  id: string;
  /** The pod's host name; "" when CRI gave none: then it has the node's. */
  hostname: string;
  /** Path of the pod's network namespace on the host; "" for a hostNetwork pod. */
  netnsPath: string;
  /** Ports that the pod's containers declare; absent means none. They count for a hostNetwork pod. */
  ports?: readonly PodPort[];
  /** Content of the pod's resolv.conf; absent means the node's own. */
  dns?: { servers: string[]; searches: string[]; options: string[] };
  /** Sysctls of the pod's own namespaces, by name with `.` or `/`; absent means none. */
  sysctls?: Record<string, string>;
  /** The mode of the PID namespace. */
  pidMode: PidMode;
  /** The user namespace of the pod's containers (`hostUsers: false`); absent means that they have the guest's own. */
  userNamespace?: UserNamespaceMaps;
  /** The pod's cgroup on the host, "" when kubelet gave none. The VMM belongs in it. */
  cgroupParent: string;
  /** Pod name. */
  name: string;
  /** Pod namespace (of Kubernetes, not of containerd). */
  namespace: string;
  /** Pod uid. */
  uid: string;
  /** How often kubelet has tried to make this pod's sandbox, from 0. */
  attempt: number;
  labels: Record<string, string>;
  annotations: Record<string, string>;
  /** Whole processors that the limits of the pod's containers allow together; absent means that there is no limit. */
  vcpus?: number;
  /** Bytes that the limits of the pod's containers allow together; absent means that there is no limit. */
  memoryBytes?: number;
  /** Bytes that kubelet adds to the pod's control group for the VM (the RuntimeClass's overhead); absent means none. */
  overheadBytes?: number;
  /** Host directory shared with the guest; absent means one that the daemon makes. */
  sharedDirectory?: string;
}

/** So many microseconds of processor time in each period of so many. */
export interface CpuLimit {
  readonly quota: number;
  readonly period: number;
}

/** Whole processors that it takes to use all of the limit. */
export function processorsOf({ quota, period }: CpuLimit): number {
  return Math.ceil(quota / period);
}

/** What a pod's containers may use together, or what kubelet adds for the VM. Absent means that there is no limit. */
export interface PodResources {
  readonly cpu?: CpuLimit;
  readonly memoryBytes?: number;
}

/** The limits of a pod, when they change while it runs. */
export interface PodLimits {
  readonly containers: PodResources;
  /** Of its RuntimeClass. */
  readonly overhead: PodResources;
}

/** Where a sandbox is in its life; see `machines/sandbox.machine.ts`. */
export type SandboxPhase = "creating" | "created" | "booting" | "ready" | "stopping" | "stopped" | "failed";

/** A sandbox as it is now. */
export interface SandboxStatus {
  id: string;
  phase: SandboxPhase;
  /** The VMM's pid on the host, 0 while there is none. */
  pid: number;
  createdAt: Date;
  exitedAt?: Date;
  exitStatus?: number;
  /** Free-form facts for operators; shown by `crictl inspectp`. */
  info: Record<string, string>;
}

/** The platform that containers of a sandbox run on, in Go's names (`linux`, `amd64`). */
export interface SandboxPlatform {
  os: string;
  architecture: string;
  variant: string;
}

/** The sandboxes of this node. Unknown ids are refused with `SandboxNotFound` by every method. */
export interface SandboxService {
  /**
   * Reserves what the sandbox needs, boots nothing. Cleans up after itself when it fails.
   * @throws BlazarError `SandboxExists`, `InvalidSpec`, `HostResource`
   */
  create(spec: SandboxSpec, signal?: AbortSignal): Promise<void>;
  /**
   * Boots the sandbox; resolves once containers can run in it. Cleans up after itself when it fails.
   * @throws BlazarError `IllegalTransition`, `VmmFailed`, `GuestNotReady`, `Cancelled`, …
   */
  start(id: string, signal?: AbortSignal): Promise<{ pid: number; createdAt: Date }>;
  platform(id: string): SandboxPlatform;
  /** Ends all containers and the VM; resolves when they are gone. Harmless when already stopped. */
  stop(id: string, timeoutMs: number): Promise<void>;
  /** Resolves when the sandbox has ended, however it ended. Rejects `Cancelled` when `signal` aborts. */
  wait(id: string, signal: AbortSignal): Promise<{ exitStatus: number; exitedAt: Date }>;
  status(id: string): SandboxStatus;
  /**
   * What the sandbox takes of the host, as its own control group counts it: the VMM, with what its guest uses, and what serves it.
   * @throws BlazarError `SandboxNotReady`
   */
  usage(id: string): Promise<CgroupStats>;
  /**
   * Changes the limits of a pod that runs: of its group in the guest, and of its VMM's on the host.
   * @throws BlazarError `SandboxNotReady`, `ResourceExhausted` if its VM cannot hold them or its containers use more: then nothing
   *   has changed
   */
  resize(id: string, limits: PodLimits): Promise<void>;
  /** Stops if need be and forgets the sandbox; afterwards its id is unknown. */
  shutdown(id: string): Promise<void>;
}
