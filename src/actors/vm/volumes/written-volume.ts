/** A volume that the guest is sent as a whole, and that is removed from its memory after its last container. */
import type { VolumePlan } from "../../../contracts/volumes.ts";
import { unlessGone } from "../../unless-gone.ts";
import { HeldVolume, type MountSource, type VolumeOwnerVm, type VolumePorts } from "./held-volume.ts";
import type { VolumeContent } from "./requests.ts";

export abstract class WrittenVolume<Plan extends VolumePlan> extends HeldVolume<Plan> {
  /** What the guest does not have yet. */
  protected content: VolumeContent | undefined;
  /** The guest may have some of it. */
  private isOffered: boolean;

  /** @param isThere an earlier daemon has sent it */
  constructor(
    name: string,
    key: string,
    vm: VolumeOwnerVm,
    protected readonly ports: VolumePorts,
    isThere: boolean,
  ) {
    super(name, key, vm);
    this.isOffered = isThere;
    if (isThere) this.remembered();
  }

  take(_plan: Plan): MountSource {
    return { type: "volume", source: this.name };
  }

  override unsent(): VolumeContent | undefined {
    const { content } = this;
    this.isOffered ||= content !== undefined;
    this.content = undefined;
    return content;
  }

  override unwritten(content: VolumeContent): void {
    this.content ??= content;
  }

  override async end(): Promise<void> {
    if (!this.isOffered || !this.vm.alive) return;
    const deadlineMs = this.ports.deadlines.guestRequest;
    await this.vm.liveLink.request("volume.remove", { names: [this.name] }, { deadlineMs }).catch(unlessGone);
  }
}
