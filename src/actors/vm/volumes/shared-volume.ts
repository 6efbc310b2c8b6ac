/**
 * Files of the host itself: bound below the directory that a file server serves to the guest.
 *
 * The bind is in the journal from before it is made until it is gone. It is taken away after its last container, so that the
 * host can unmount what is below it.
 */
import { join } from "node:path";
import { blazarError } from "../../../contracts/errors.ts";
import type { UserNamespaceMaps } from "../../../contracts/id-maps.ts";
import type { SharedVolume } from "../../../contracts/volumes.ts";
import type { VolumeFact } from "../../resources/facts.ts";
import type { HostResource } from "../../resources/kinds/kinds.ts";
import { HeldVolume, type MountSource, type VolumeOwnerVm, type VolumePorts } from "./held-volume.ts";

export class Shared extends HeldVolume<SharedVolume> {
  private readonly target: string;
  private made: Promise<void> | undefined;

  constructor(
    name: string,
    /** One without more than a key is there already: an earlier daemon has made it. */
    private readonly plan: SharedVolume | Pick<SharedVolume, "key">,
    /** Of an idmapped one. */
    private readonly maps: UserNamespaceMaps | undefined,
    vm: VolumeOwnerVm,
    private readonly ports: VolumePorts,
  ) {
    super(name, plan.key, vm);
    this.target = join(vm.place.shares.volumes.directory, name);
    if (!("kind" in plan)) {
      this.made = Promise.resolve();
      this.remembered();
      return;
    }
    const { source, instead } = plan;
    if (instead !== undefined)
      vm.logger.warn(
        { volume: source, reason: instead },
        "a volume cannot be copied into the guest: it is shared with the host, more slowly",
      );
  }

  protected override get fact(): VolumeFact {
    return { kind: "shared", key: this.key };
  }

  take(): MountSource {
    return { type: "shared", source: this.name };
  }

  override async ready(signal: AbortSignal): Promise<void> {
    const { plan } = this;
    if ("kind" in plan)
      this.made ??= this.make(plan).catch((error: unknown) => {
        this.made = undefined;
        throw error;
      });
    const { shares } = this.vm;
    await Promise.all([this.made, shares.volumes.serve(this.ports, signal)]);
  }

  override async end(): Promise<void> {
    await this.made?.catch(() => undefined);
    await this.vm.resources.undo((resource) => this.isOwn(resource));
  }

  private async make(plan: SharedVolume): Promise<void> {
    const { vm, ports, target } = this;
    const { source, directory, readonly, recursive, slave } = plan;
    if (!vm.shares.volumes.maps(this.maps)) {
      const reason =
        "one file server serves all shared volumes of a pod, and maps ids for all or none of them";
      const remedy = "give all mounts of the pod the maps of its user namespace";
      throw blazarError("UnsupportedSpec", "mount a volume", reason, { subject: source, remedy });
    }
    // what was mounted below the directory before its server would be hidden
    await vm.shares.volumes.makeDirectory(ports);
    await vm.resources.make({ kind: "volume", target }, () =>
      ports.volumes.mount({ source, target, directory, readonly, recursive, slave }),
    );
    this.remember();
  }

  private isOwn(resource: HostResource): boolean {
    return resource.kind === "volume" && resource.target === this.target;
  }
}
