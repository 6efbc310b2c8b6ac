/**
 * The port to file servers: processes that serve one directory to one guest each (fileserver/).
 *
 * A server takes one connection and ends with it. It is the keeper's child, so a daemon that died leaves it to the next
 * one, which finds it by its id. `host/storage/file-servers.ts` implements the port.
 */

import type { UserNamespaceMaps } from "./id-maps.ts";
import type { ProcessExit, ProcessIdentity } from "./keeper.ts";
import type { ShareKind } from "./share-kind.ts";

export interface FileServerSpec {
  /** The keeper's name for the process. */
  readonly id: string;
  /** Says whether it may write, and which capabilities it has. */
  readonly kind: ShareKind;
  /** What is served; the guest can reach nothing else. */
  readonly directory: string;
  /** Whether things will be mounted below it later, and be served then. It becomes a mount of its own for that. */
  readonly changes: boolean;
  /** The files' ids are ids in this user namespace, which the guest sees from outside. Undefined: they stay as they are. */
  readonly maps?: UserNamespaceMaps | undefined;
  /** Where the server listens: a path that is free, in a directory of its user's. */
  readonly socket: string;
  /** Whom it runs as; undefined = the daemon's own user, without more than that user may. */
  readonly user: { readonly uid: number; readonly gid: number } | undefined;
  /** cgroup.procs files that it enters. */
  readonly cgroups: readonly string[];
}

export interface FileServers {
  /**
   * Starts a server and resolves when its socket takes the connection. A failure leaves no process. Throws what
   * {@link Keeper.spawn} throws, Cancelled at the abort included.
   */
  start(spec: FileServerSpec, signal: AbortSignal): Promise<ProcessIdentity>;
  /** Whether the server is stopped, by a signal or by a debugger: its guest waits in vain. */
  isStopped(server: ProcessIdentity): Promise<boolean>;
  /** Resolves when the server has ended. Throws what {@link Keeper.exited} throws. */
  exited(id: string): Promise<ProcessExit>;
}
