/**
 * What a kind of host resource is: how it is told to people, read from a journal, looked for and undone.
 *
 * Each kind is one file in this folder, and a line in kinds.ts. An undo is idempotent and does not trust the journal: it
 * looks first.
 */
import type { ImageStore } from "../../../contracts/images.ts";
import type { Keeper } from "../../../contracts/keeper.ts";
import type { PodNetworks } from "../../../contracts/network.ts";
import type { Cgroups, HostFiles, RootfsStore } from "../../../contracts/storage.ts";
import type { HostVolumes } from "../../../contracts/volumes.ts";
import type { Check } from "../../../protocol/wire/json.ts";

/** The ports that looking and undoing need. */
export interface ResourcePorts {
  readonly keeper: Pick<Keeper, "inventory" | "signal" | "exited" | "forget" | "openStdio">;
  readonly files: Pick<HostFiles, "removeTree" | "removeFile">;
  readonly rootfs: Pick<RootfsStore, "release">;
  readonly images: Pick<ImageStore, "release">;
  readonly cgroups: Pick<Cgroups, "remove">;
  readonly volumes: Pick<HostVolumes, "unmount">;
  readonly networks: Pick<PodNetworks, "disconnect">;
}

/** Whether a resource is on the host; `unknown` where no look can tell. */
export type Presence = "present" | "absent" | "unknown";

/** A kind of host resource. `Data` is plain: it goes into the journal as it is. */
export interface ResourceKind<Data> {
  /** Words for an operator: what it is, and which. */
  describe(resource: Data): string;
  /** Under which names it is found on the host: whoever finds something of one of them knows that somebody holds it. */
  names(resource: Data): readonly string[];
  /** Reads it from a journal, whose lines may be anything. Throws FrameMalformed. */
  readonly check: Check<Data>;
  /** Whether it is on a disk, so that it may be there after the host was booted again. */
  readonly outlivesBoot: boolean;
  /** Looks whether it is there. Changes nothing. */
  observe(resource: Data, ports: ResourcePorts): Promise<Presence>;
  /** Takes it away; what is gone already is success. */
  undo(resource: Data, ports: ResourcePorts): Promise<void>;
}
