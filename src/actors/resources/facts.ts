/**
 * What a later daemon has to know of a sandbox to take it over: plain data, in the journal beside the resources.
 *
 * A fact has a name; the last line of a name holds, and null forgets it. Facts are written when they change. Hardly any
 * is waited for: what is lost with a torn last line can be observed anew. Specs of containers stay out: they hold secrets,
 * and a container that exists needs its spec no more.
 */
import type { StdioPaths } from "../../contracts/keeper.ts";
import type { SandboxSpec } from "../../contracts/sandbox.ts";
import type { VmShape, VmSource } from "../../contracts/vm.ts";
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
  /** The VM's sockets and log. */
  readonly directory: string;
  /** The shares' directories: what is served to the guest once a container needs it; made then. */
  readonly shareDirectory: string;
  readonly volumesDirectory: string;
  readonly user: { readonly uid: number; readonly gid: number } | undefined;
  /** The session under which the daemon has spoken to the agent. */
  readonly session: string;
}

export interface ContainerFact {
  readonly bundle: string;
  /** containerd's namespace. */
  readonly namespace: string | undefined;
  /** Serial number of its disk. */
  readonly diskId: string;
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
  vm: VmFact;
  [container: `container/${string}`]: ContainerFact;
  [process: `process/${string}/${string}`]: ProcessFact;
}

export type FactName = keyof Facts;
