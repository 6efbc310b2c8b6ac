/**
 * Where VMs live on the host: a user for the VMM, a directory for its sockets, and the shares that are served to its guest.
 *
 * A user is given back only when nothing can run as it any more, which is when its owner has been undone.
 */
import { join } from "node:path";
import type { ShareKind } from "../../contracts/share-kind.ts";
import type { HostFiles } from "../../contracts/storage.ts";
import type { HeldResources } from "../resources/held.ts";
import type { VmUser, VmUsers } from "./users.ts";

export interface VmPlace {
  /** The VM's sockets and log. */
  readonly directory: string;
  readonly shares: Shares;
  readonly user: VmUser | undefined;
}

export interface PlacePorts {
  readonly files: Pick<HostFiles, "makeDirectory">;
  /** Undefined where the daemon is not root and VMMs run as its own user. */
  readonly users: VmUsers | undefined;
  /** Absolute; VMs' sockets go into `vm/` below it. */
  readonly stateDirectory: string;
  /** So many bytes of fresh randomness, as hex. */
  readonly randomHex: (bytes: number) => string;
}

/** What can be served to a guest; made when a container needs it. An adopted VM keeps the one that it came with. */
export interface Share {
  readonly directory: string;
  /** Whether it has to be made. */
  readonly make: boolean;
}

export type Shares = { readonly [Kind in ShareKind]: Share };

/**
 * The shares of a VM whose owner has this directory.
 * @param layers a directory of somebody else's, which is there already
 */
export function sharesBelow(directory: string, layers?: string): Shares {
  return {
    layers: { directory: layers ?? join(directory, "share"), make: layers === undefined },
    volumes: { directory: join(directory, "volumes"), make: true },
  };
}

const NAME_BYTES = 6;

/** The places that one owner's VMs have had. */
export class VmPlaces {
  private current: VmPlace | undefined;
  private readonly taken = new Set<VmUser>();

  constructor(
    private readonly ports: PlacePorts,
    private readonly resources: HeldResources,
    private readonly shares: Shares,
  ) {}

  /** Makes a place, or returns the one that an attempt before has made. */
  async make(signal: AbortSignal): Promise<VmPlace> {
    if (this.current !== undefined) return this.current;
    const { files, users, stateDirectory, randomHex } = this.ports;
    const user = users?.take();
    this.own(user);
    signal.throwIfAborted();
    // not below the owner's own: an id has 64 characters, a unix socket's path 107 in all
    const directory = join(stateDirectory, "vm", randomHex(NAME_BYTES));
    await this.resources.make({ kind: "directory", path: directory }, () =>
      files.makeDirectory(directory, 0o700, user),
    );
    this.current = { directory, shares: this.shares, user };
    return this.current;
  }

  /** The next VM gets another place; this one's directories stay in the journal until the end. */
  abandon(): void {
    this.current = undefined;
  }

  /** A user that came with an adopted VM is given back with the others. */
  own(user: VmUser | undefined): void {
    if (user !== undefined) this.taken.add(user);
  }

  /** Somebody else gives this user back. */
  disown(user: VmUser | undefined): void {
    if (user !== undefined) this.taken.delete(user);
  }

  /** Nothing runs as any of the users any more. */
  releaseUsers(): void {
    for (const user of this.taken) this.ports.users?.release(user);
    this.taken.clear();
  }
}
