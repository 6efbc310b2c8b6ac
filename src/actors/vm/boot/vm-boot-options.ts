/**
 * What a VM that is made shall be, and what making it needs of the host.
 */
import type { Deadlines } from "../../../contracts/deadlines.ts";
import type { Histories } from "../../../contracts/history.ts";
import type { Logger } from "../../../contracts/logger.ts";
import type { Cgroups } from "../../../contracts/storage.ts";
import type { Vm, VmSpec } from "../../../contracts/vm.ts";
import type { TextCodec } from "../../../protocol/wire/json.ts";
import type { GuestTraffic } from "../../guest/link.ts";
import type { GuestSetUpPorts, GuestSpec } from "../../guest/setup.ts";
import type { HeldResources } from "../../resources/held.ts";
import type { VmSupply, WantedVm } from "../../supply/vm-supply.ts";
import type { GuestVm } from "../guest-vm.ts";
import type { PlacePorts, Shares } from "../place.ts";

/** What making VMs needs of the host. */
export interface VmBootPorts extends GuestSetUpPorts, PlacePorts {
  readonly deadlines: Deadlines;
  /** As {@link VmmDriver.launch}. */
  readonly launch: (spec: VmSpec, signal: AbortSignal) => Promise<Vm>;
  /** Id of the disk that a clone has from its template; undefined = none. */
  readonly templateDisk: string | undefined;
  readonly cgroups: Pick<Cgroups, "enter">;
  /** Absolute; for disks of VMs that have no container yet. */
  readonly scratchDirectory: string;
  /** Identifies this life of the daemon to agents. */
  readonly session: string;
  readonly text: TextCodec;
  /** As {@link GuestLinkOptions.traffic}. */
  readonly traffic?: GuestTraffic;
  readonly histories: Histories;
}

/** What the VM shall be. */
export interface VmBootOptions {
  /** The sandbox's id, or the name of a VM of the pool; the keeper's name for a VM that is started. */
  readonly id: string;
  readonly wanted: WantedVm;
  /** What the guest is told when it is set up. */
  readonly guest: GuestSpec;
  readonly shares: Shares;
  /** Connects the VM to the pod's network; undefined = it has none. */
  readonly connectNetwork: ((vm: GuestVm) => Promise<void>) | undefined;
  /** The VM is the owner's and connected: changes of its network are the guest's to know from now on. */
  readonly followNetwork?: () => void;
  readonly resources: HeldResources;
  readonly supply: VmSupply;
  readonly logger: Logger;
}
