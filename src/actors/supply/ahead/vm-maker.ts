/**
 * Makes VMs that no sandbox owns yet, for the pool and as originals: each with a journal of its own, by the chart vm-boot.
 *
 * What fails, is late or is called off leaves nothing. A VM that was made answers for itself from then on.
 */
import { join } from "node:path";
import type { Logger } from "../../../contracts/logger.ts";
import type { VmShape } from "../../../contracts/vm.ts";
import type { GuestSpec } from "../../guest/setup.ts";
import { HeldResources } from "../../resources/held.ts";
import type { Journal } from "../../resources/journal/journal.ts";
import type { ResourcePorts } from "../../resources/kinds/kind.ts";
import { makeVm } from "../../vm/bindings.ts";
import { VmBoot } from "../../vm/boot/vm-boot.actor.ts";
import type { VmBootPorts } from "../../vm/boot/vm-boot-options.ts";
import type { GuestVm } from "../../vm/guest-vm.ts";
import { sharesBelow } from "../../vm/place.ts";
import type { VmSupply } from "../vm-supply.ts";
import type { Endings } from "./endings.ts";

export interface VmMakerPorts extends VmBootPorts {
  readonly host: ResourcePorts;
  readonly openJournal: (id: string) => Promise<Journal>;
  readonly logger: Logger;
}

export class VmMaker {
  constructor(
    private readonly ports: VmMakerPorts,
    private readonly supply: VmSupply,
    /** Ends VMs that could not be made. */
    private readonly endings: Endings,
  ) {}

  /** Throws what the chart fails with, Cancelled by the signal. */
  async make(id: string, shape: VmShape, signal: AbortSignal): Promise<GuestVm> {
    const { ports, supply } = this;
    const logger = ports.logger.child({ vm: id });
    const resources = new HeldResources(id, { ...ports.host, histories: ports.histories }, logger);
    resources.open(await ports.openJournal(id));
    const directory = join(ports.stateDirectory, "sandboxes", id);
    const options = {
      ...{ id, wanted: { shape, asked: undefined }, guest: guestOf(id), shares: sharesBelow(directory) },
      ...{ connectNetwork: undefined, resources, supply, logger },
    };
    const boot = new VmBoot(options, ports);
    const made = resources.make({ kind: "directory", path: directory }, () =>
      ports.files.makeDirectory(directory, 0o700),
    );
    return makeVm(boot, made, options, ports, this.endings, signal);
  }
}

/** What a guest is told that is nobody's yet. */
function guestOf(id: string): GuestSpec {
  // with a shared PID namespace, which is rehearsed then; a pod that wants none is not disturbed by it
  return { id, hostname: "", pidMode: "pod", network: undefined };
}
