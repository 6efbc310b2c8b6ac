/**
 * What a later daemon has to know of a sandbox to take it over: plain data, in the journal beside the resources.
 *
 * A fact has a name; the last line of a name holds, and null forgets it. Facts are written when they change. A call that makes
 * something known waits for its facts, anything else can be observed anew. Specs of containers stay out: they hold secrets,
 * and a container that exists needs its spec no more. A later daemon reads facts with known-sandbox.ts.
 */
import type { UserNamespaceMaps } from "../../contracts/id-maps.ts";
import type { StdioPaths } from "../../contracts/keeper.ts";
import type { SandboxSpec } from "../../contracts/sandbox.ts";
import type { VmNic, VmShape, VmSource } from "../../contracts/vm.ts";
import type { Failure } from "../../machines/failure.ts";
import type { GuestProcess, GuestStdio } from "../../protocol/guest/messages.ts";

/** The VM behind the sandbox, and how its guest is reached. */
export interface VmFact {
  /** The keeper's name for the VMM. */
  readonly id: string;
  readonly pid: number;
  /** Field 22 of /proc/PID/stat. */
  readonly startTime: number;
  readonly source: VmSource["kind"];
  /** Key of the template, unless it has booted. */
  readonly template: string | undefined;
  readonly shape: VmShape;
  readonly nics: readonly VmNic[];
  /** The image that it had before its first container. */
  readonly image: AttachedImage | undefined;
  /** The VM's sockets and log. */
  readonly directory: string;
  /** The shares' directories: what is served to the guest once a container needs it; made then. */
  readonly shareDirectory: string;
  readonly volumesDirectory: string;
  readonly user: { readonly uid: number; readonly gid: number } | undefined;
  /** As {@link GuestLink.mark}: a secret between daemon and agent. */
  readonly mark: string | undefined;
}

/** An image in a VM, as its guest finds it. */
export interface AttachedImage {
  readonly key: string;
  readonly serial: string;
}

/** A share that the guest has mounted. */
export interface ShareFact {
  /** How its server maps the files' owners. */
  readonly maps: UserNamespaceMaps | undefined;
}

/** What a container has of its VM, once it has been made. */
export interface InsideFact {
  /** Serial number of the disk that it writes to. */
  readonly disk: string;
  readonly images: readonly AttachedImage[];
  /** The guest's names of its volumes. */
  readonly volumes: readonly string[];
}

/** A volume that the guest has, without any content. `key` is what containers that share it have in common. */
export type VolumeFact =
  | {
      readonly kind: "copied";
      readonly key: string;
      readonly source: string;
      /** What the guest has; undefined: nobody follows the source. */
      readonly entries: readonly CopiedEntry[] | undefined;
      readonly maps: UserNamespaceMaps | undefined;
    }
  | {
      readonly kind: "file";
      readonly key: string;
      readonly source: string;
      readonly version: string;
      readonly writtenBack: boolean;
    }
  | {
      readonly kind: "memory";
      readonly key: string;
      readonly bytes: number;
      /** Directories below it that are there. */
      readonly paths: readonly string[];
    }
  | { readonly kind: "shared"; readonly key: string };

/** Path, type, mode, uid, gid and version of something in a copied volume (contracts/volumes.ts). */
export type CopiedEntry = readonly [string, "directory" | "file" | "link", number, number, number, string];

/** How far the sandbox's life has come; there is none before its VM is ready. Times are milliseconds since the epoch. */
export interface PhaseFact {
  readonly phase: "ready" | "stopping" | "stopped";
  /** Why it is on its way out, unless it was asked to. */
  readonly failure: Failure | undefined;
  readonly createdAt: number;
  readonly exitedAt: number | undefined;
}

export interface ContainerFact {
  readonly bundle: string;
  /** containerd's namespace. */
  readonly namespace: string | undefined;
  /** Serial number of its disk. */
  readonly diskId: string;
  /** Default: it runs. */
  readonly paused?: boolean | undefined;
}

export interface ProcessFact {
  /** Task pid: beyond every pid of the host. */
  readonly pid: number;
  readonly paths: StdioPaths;
  readonly terminal: boolean;
  readonly started: boolean;
  /** Its streams on the guest's link, once it has some. */
  readonly streams: GuestStdio | undefined;
  /** An exec that has not been started: what to start. */
  readonly process: GuestProcess | undefined;
  readonly exit:
    | { readonly status: number /** Milliseconds since the epoch. */; readonly at: number }
    | undefined;
}

/** Names of facts, and what each holds. */
export interface Facts {
  sandbox: SandboxSpec;
  phase: PhaseFact;
  vm: VmFact;
  "share/layers": ShareFact;
  "share/volumes": ShareFact;
  [volume: `volume/${string}`]: VolumeFact;
  [inside: `inside/${string}`]: InsideFact;
  [container: `container/${string}`]: ContainerFact;
  [process: `process/${string}/${string}`]: ProcessFact;
}

export type FactName = keyof Facts;
