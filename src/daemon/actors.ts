/**
 * Puts the actors together on ports, whatever is behind those: a daemon's, a standalone run's or a test's in memory.
 *
 * Everything is made in the order in which it is needed, so that nothing has to be set late: the sources of VMs from the
 * slowest to the quickest, then sandboxes, then containers.
 */
import type { SpecTranslator } from "../actors/container/container-maker.ts";
import { ContainerRegistry } from "../actors/container/container-registry.ts";
import { ContainerTasks } from "../actors/container/task-service.ts";
import type { OpenJournals } from "../actors/resources/journal/open-journals.ts";
import type { ResourcePorts } from "../actors/resources/kinds/kind.ts";
import { KeeperDeath } from "../actors/sandbox/keeper-death.ts";
import { type RegistryPorts, SandboxRegistry } from "../actors/sandbox/registry.ts";
import { StrandedSandboxes } from "../actors/sandbox/stranded.ts";
import { Endings } from "../actors/supply/ahead/endings.ts";
import { LastImage } from "../actors/supply/ahead/last-image.ts";
import { OneOriginal, type OriginalSettings } from "../actors/supply/ahead/originals.actor.ts";
import { ShapeDemand } from "../actors/supply/ahead/shape-demand.ts";
import { VmMaker, type VmMakerPorts } from "../actors/supply/ahead/vm-maker.ts";
import { type PoolSettings, WarmPool } from "../actors/supply/ahead/warm-pool.actor.ts";
import type { Pace } from "../actors/supply/pace.ts";
import { ClonesOnly, FreshVms, PodVms } from "../actors/supply/vm-supply.ts";
import { VmBackend, type VmBackendPorts } from "../actors/vm/vm-backend.ts";
import type { Backend } from "../backends/backend.ts";
import { blazarError } from "../contracts/errors.ts";
import type { ImageStore } from "../contracts/images.ts";
import type { Keeper } from "../contracts/keeper.ts";
import type { HostFiles } from "../contracts/storage.ts";
import type { TaskEvents } from "../contracts/task.ts";
import type { TemplateStore } from "../contracts/templates.ts";
import type { VmSpec } from "../contracts/vm.ts";
import type { VmForks } from "../contracts/vm-forks.ts";
import type { VmAdoption, VmmDriver } from "../contracts/vmm.ts";

type BackendPorts = Omit<
  VmBackendPorts,
  "supply" | "launch" | "adoptVm" | "templateDisk" | "imageUsed" | "vmmBytes"
>;
type SandboxesPorts = Omit<RegistryPorts, "backend" | "containers" | "stranded">;

/** All that the actors need of the outside world: what each asks for, together. */
export type ActorPorts = BackendPorts &
  SandboxesPorts & {
    readonly driver: VmmDriver;
    readonly pace: Pace;
    readonly keeper: Pick<Keeper, "inventory" | "onDeath">;
    readonly files: HostFiles;
    readonly journals: Pick<OpenJournals, "resources" | "incomplete">;
    readonly images: Pick<ImageStore, "hold" | "release">;
    readonly specs: SpecTranslator;
    readonly events: TaskEvents;
    /** What sandboxes are; default: microVMs. */
    readonly backend?: Backend | undefined;
    /** Undefined = every VM boots. */
    readonly templates: Pick<TemplateStore, "use"> | undefined;
    /** Present memory pressure in percent; undefined where the kernel does not tell. */
    readonly pressure: () => Promise<number | undefined>;
  };

/** The settings of the pool and of the original. */
export type ActorSettings = Omit<PoolSettings & OriginalSettings, "shape" | "pressure">;

export interface Actors {
  readonly driver: VmmDriver;
  readonly sandboxes: SandboxRegistry;
  readonly containers: ContainerRegistry;
  /** Sees to sandboxes whose keeper has died. */
  readonly keeperDeath: KeeperDeath;
  /** Those that nothing is known of, and that may run. */
  readonly stranded: StrandedSandboxes;
  readonly tasks: ContainerTasks;
  readonly pool: WarmPool;
  /** What VMs are made like ahead. */
  readonly demand: ShapeDemand;
  /** Undefined where nothing is forked. */
  readonly original: OneOriginal | undefined;
  /** What the recovery of a previous daemon's sandboxes works with. */
  readonly resourcePorts: ResourcePorts;
}

/** Starts nothing. */
export function wireActors(given: ActorPorts, settings: ActorSettings): Actors {
  const { driver } = given;
  const launch = (spec: VmSpec, signal: AbortSignal) => driver.launch(spec, signal);
  const adoptVm = (adoption: VmAdoption, signal: AbortSignal) => driver.adopt(adoption, signal);
  const vmmBytes = (vcpus: number) => driver.ownBytes(vcpus);
  const ports = { ...given, launch, adoptVm, vmmBytes, templateDisk: driver.templates?.diskId };
  const lastImage = new LastImage();
  const demand = new ShapeDemand(ports.defaultShape);
  const { pool, original, freshVms } = vmSources({ ...ports, lastImage, demand }, settings);
  const backend =
    given.backend ??
    new VmBackend({ ...ports, supply: new PodVms(pool, freshVms, demand), imageUsed: lastImage.used });
  const { journals, logger } = ports;
  const stranded = new StrandedSandboxes({ resources: ports, journals, logger });
  const containers = new ContainerRegistry(stranded);
  const sandboxes = new SandboxRegistry({ ...ports, backend, containers, stranded });
  const { pace, specs, now, events, deadlines } = ports;
  const tasks = new ContainerTasks({ sandboxes, containers, stranded, specs, events, pace, now, deadlines });
  const ahead = original === undefined ? [pool] : [pool, original];
  const keeperDeath = new KeeperDeath({ sandboxes, containers, ahead, logger });
  ports.keeper.onDeath(() => keeperDeath.happened());
  const actors = { driver, sandboxes, containers, stranded, tasks, demand, pool, original, keeperDeath };
  return { ...actors, resourcePorts: ports };
}

type VmPorts = ActorPorts &
  Pick<VmBackendPorts, "launch" | "templateDisk"> & {
    readonly lastImage: LastImage;
    readonly demand: ShapeDemand;
  };

/** Where VMs come from, from the slowest way to the quickest: each is made by those before it. */
function vmSources(ports: VmPorts, settings: ActorSettings) {
  const { driver, pace, templates, pressure, defaultShape: shape } = ports;
  const host: VmMakerPorts = { ...ports, host: ports };
  const clones = new FreshVms({ pace, templates, originals: undefined });
  const { forks } = driver;
  const endings = new Endings(ports.logger);
  const makerFor = (id: string) => originalMaker(id, { ...host, endings }, forks, clones);
  const original =
    templates === undefined || forks === undefined
      ? undefined
      : new OneOriginal({ ...ports, forks, makerFor, endings }, { ...settings, shape, pressure });
  const freshVms = new FreshVms({ pace, templates, originals: original });
  const maker = new VmMaker(host, freshVms, endings);
  const pool = new WarmPool({ ...ports, maker, endings }, { ...settings, shape, pressure });
  return { pool, original, freshVms };
}

/** Each original's agent is spoken to under a session of its own; see {@link OneOriginal}. */
function originalMaker(
  id: string,
  { endings, ...ports }: VmMakerPorts & { readonly endings: Endings },
  forks: VmForks | undefined,
  clones: FreshVms,
): VmMaker {
  const launch = async (spec: VmSpec, signal: AbortSignal) => {
    if (forks !== undefined && spec.source.kind === "clone") return forks.launchOriginal(spec, signal);
    throw blazarError("IllegalTransition", "make an original", "only a clone can be one", { subject: id });
  };
  const session = `${ports.session}-${id}`;
  return new VmMaker({ ...ports, launch, session }, new ClonesOnly(clones), endings);
}
