/**
 * A volume that a guest has, whatever its kind: how containers mount it, what its guest still has to be sent, and its end.
 */
import type { Deadlines } from "../../../contracts/deadlines.ts";
import type { Logger } from "../../../contracts/logger.ts";
import type { HostVolumes, VolumePlan } from "../../../contracts/volumes.ts";
import type { GuestMount } from "../../../protocol/guest/messages.ts";
import type { GuestLink } from "../../guest/link.ts";
import type { VolumeFact } from "../../resources/facts.ts";
import type { HeldResources } from "../../resources/held.ts";
import type { GuestShare, SharePorts } from "../guest-share.ts";
import type { VmPlace } from "../place.ts";
import type { VolumeContent } from "./requests.ts";

/** What volumes need of the host. */
export interface VolumePorts extends Omit<SharePorts, "deadlines"> {
  readonly volumes: HostVolumes;
  readonly deadlines: SharePorts["deadlines"] & Pick<Deadlines, "containerCreate">;
}

/** What volumes need of their guest. */
export interface VolumeOwnerVm {
  readonly id: string;
  readonly alive: boolean;
  readonly place: Pick<VmPlace, "shares">;
  readonly shares: { readonly volumes: Pick<GuestShare, "maps" | "makeDirectory" | "serve"> };
  readonly resources: HeldResources;
  readonly liveLink: Pick<GuestLink, "request">;
  readonly logger: Logger;
}

export type MountSource = Pick<GuestMount, "type" | "source">;

export abstract class HeldVolume<Plan extends VolumePlan = VolumePlan> {
  /** False: it stays until the VM ends. */
  readonly endsWithLastUser: boolean = true;

  private isRemembered = false;

  /**
   * @param name the guest's for it
   * @param key what containers that share it have in common
   */
  constructor(
    readonly name: string,
    readonly key: string,
    protected readonly vm: VolumeOwnerVm,
  ) {}

  /** What a later daemon has to know of it. */
  protected abstract get fact(): VolumeFact;

  /** A container wants it: what it mounts. Nothing is made yet. */
  abstract take(plan: Plan): MountSource;

  /** Resolves when the host has done its part. May be called again. */
  ready(_signal: AbortSignal): Promise<void> {
    return Promise.resolve();
  }

  /** What the guest is to be sent: handed out once. The caller says whether it was {@link sent} or is {@link unwritten}. */
  unsent(): VolumeContent | undefined {
    return undefined;
  }

  /** The guest has not taken it. */
  unwritten(_content: VolumeContent): void {
    // nothing of it is sent
  }

  /** The guest has it now. */
  sent(): void {
    this.remember();
  }

  /** Writes into the journal what there is of it. */
  protected remember(): void {
    this.isRemembered = true;
    void this.vm.resources.fact(`volume/${this.name}`, this.fact);
  }

  /** It is gone from the guest. */
  forget(): void {
    if (this.isRemembered) void this.vm.resources.fact(`volume/${this.name}`, null);
    this.isRemembered = false;
  }

  /** An earlier daemon has made it, and written it into the journal. */
  protected remembered(): void {
    this.isRemembered = true;
  }

  /** No container has it any more. */
  end(): Promise<void> {
    return Promise.resolve();
  }

  /** The VM has ended. */
  abandon(): void {
    // it ends with the VM
  }
}
