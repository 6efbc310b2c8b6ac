/**
 * The volumes of one guest: each is there once for all containers that have it, counted, and ends after the last of them.
 *
 * What a spec binds is planned on the host (contracts/volumes.ts), made there, and sent to the guest just before the
 * container's own creation, in requests that nobody waits for one by one: the link keeps their order.
 */
import type { UserNamespaceMaps } from "../../../contracts/id-maps.ts";
import { volumeName } from "../../../contracts/volume-names.ts";
import type { VolumePlan, VolumeRequest } from "../../../contracts/volumes.ts";
import type { ContainerCreate, GuestDevice, ProcessExited } from "../../../protocol/guest/messages.ts";
import type { VolumeFact } from "../../resources/facts.ts";
import { Copied, earlierCopy, newCopy } from "./copied-volume.ts";
import type { HeldVolume, MountSource, VolumeOwnerVm, VolumePorts } from "./held-volume.ts";
import { mappedPlan } from "./mapped-plan.ts";
import { CopiedFile, Memory } from "./memory-volumes.ts";
import { writesOf } from "./requests.ts";
import { Shared } from "./shared-volume.ts";

/** Of those that an earlier daemon has made; for when it is not known how many use a volume. */
const MOST_CONTAINERS = 64;

interface Counted {
  readonly key: string;
  readonly volume: HeldVolume;
  users: number;
  /** So often may the guest still hand it back: once for each container that has had it. */
  returns: number;
  /** The requests that are under way. */
  sending: Promise<void>;
}

/** What becomes of one mount. */
type Outcome = MountSource | { readonly device: Omit<GuestDevice, "path"> };

type Mounted = Pick<ContainerCreate, "mounts" | "devices" | "returned">;

export class GuestVolumes {
  private readonly held = new Map<string, Counted>();
  private count = 0;

  /** @param prefix begins the names of its volumes; another one for each daemon that the guest has had */
  constructor(
    private readonly vm: VolumeOwnerVm,
    private readonly prefix = "v",
  ) {}

  /**
   * Takes up those that an earlier daemon has made, by their names. Ends those that nobody uses any more.
   * @param users of each, by its name; undefined: not all are known, so none is to end
   */
  async adopt(
    facts: ReadonlyMap<string, VolumeFact>,
    users: ReadonlyMap<string, number> | undefined,
    ports: VolumePorts,
  ): Promise<void> {
    const unused: Counted[] = [];
    for (const [name, fact] of facts) {
      const volume = earlierVolume(name, fact, this.vm, ports);
      const count = users === undefined ? Number.POSITIVE_INFINITY : (users.get(name) ?? 0);
      const counted = {
        key: fact.key,
        volume,
        users: count,
        returns: Math.min(count, MOST_CONTAINERS),
        sending: Promise.resolve(),
      };
      const isUnused = users !== undefined && counted.users === 0 && volume.endsWithLastUser;
      if (isUnused || this.held.has(fact.key)) unused.push(counted);
      else this.held.set(fact.key, counted);
    }
    const ends = await Promise.allSettled(unused.map(({ volume }) => endOf(volume)));
    for (const end of ends)
      if (end.status === "rejected")
        this.vm.logger.warn({ err: end.reason }, "a volume that nobody uses stays until the sandbox ends");
  }

  /** A container that has volumes of these names, counted already. */
  adopted(names: readonly string[], ports: VolumePorts): ContainerVolumes {
    const used = [...this.held.values()].filter(({ volume }) => names.includes(volume.name));
    return new ContainerVolumes([], used, this, this.vm, ports);
  }

  /**
   * Plans a container's volumes and has the host do its part. A failure leaves nothing.
   * @param userNamespace the container's, which idmapped volumes have their owners in
   */
  async use(
    requests: readonly VolumeRequest[],
    userNamespace: UserNamespaceMaps | undefined,
    ports: VolumePorts,
    signal: AbortSignal,
  ): Promise<ContainerVolumes> {
    if (requests.length === 0) return new ContainerVolumes([], [], this, this.vm, ports);
    const plans = await ports.volumes.plan(requests, this.vm.id);
    signal.throwIfAborted();
    const used: Counted[] = [];
    const outcomes = plans.map((plan, index) => {
      const maps = requests[index]?.idmapped === true ? userNamespace : undefined;
      const own = maps === undefined ? plan : mappedPlan(plan, maps);
      return this.take(own, maps, index, used, ports);
    });
    const volumes = new ContainerVolumes(outcomes, used, this, this.vm, ports);
    const made = await Promise.allSettled(used.map(({ volume }) => volume.ready(signal)));
    const failed = made.find((each) => each.status === "rejected");
    if (failed === undefined) return volumes;
    await volumes.release();
    throw failed.reason;
  }

  /** Gives the host what a container has left in files that are the host's. Never rejects. */
  async writeBack(returned: ProcessExited["returned"]): Promise<void> {
    const all = [...this.held.values()];
    await Promise.all(
      returned.map(async ({ name, content }) => {
        const counted = all.find(({ volume }) => volume.name === name);
        if (counted === undefined || counted.returns <= 0 || !(counted.volume instanceof CopiedFile)) return;
        counted.returns--;
        await counted.volume.writeBack(content);
      }),
    );
  }

  /** The VM has ended: nothing is followed any more. */
  end(): void {
    for (const { volume } of this.held.values()) volume.abandon();
    this.held.clear();
  }

  /** One user less. True if the volume is to end; whoever comes from now on gets another one. */
  leave(counted: Counted): boolean {
    counted.users--;
    if (counted.users > 0 || !counted.volume.endsWithLastUser) return false;
    if (this.held.get(counted.key) === counted) this.held.delete(counted.key);
    return true;
  }

  private take(
    plan: VolumePlan,
    maps: UserNamespaceMaps | undefined,
    index: number,
    used: Counted[],
    ports: VolumePorts,
  ): Outcome {
    if (plan.kind === "own") return { type: "own", source: `own-${index}` };
    if (plan.kind === "device") {
      const { kind: _, ...device } = plan;
      return { device };
    }
    let counted = this.held.get(plan.key);
    if (counted === undefined) {
      const readonly = plan.kind === "shared" && plan.readonly;
      const name = volumeName(this.prefix, ++this.count, readonly);
      const volume = this.make(plan, maps, name, ports);
      counted = { key: plan.key, volume, users: 0, returns: 0, sending: Promise.resolve() };
      this.held.set(plan.key, counted);
    }
    counted.users++;
    counted.returns++;
    used.push(counted);
    return counted.volume.take(plan);
  }

  private make(
    plan: Exclude<VolumePlan, { kind: "own" | "device" }>,
    maps: UserNamespaceMaps | undefined,
    name: string,
    ports: VolumePorts,
  ): HeldVolume {
    const { vm } = this;
    switch (plan.kind) {
      case "copied":
        return new Copied(name, newCopy(plan), maps, vm, ports);
      case "file":
        return new CopiedFile(name, plan, "", vm, ports);
      case "memory":
        return new Memory(name, plan, vm);
      case "shared":
        return new Shared(name, plan, maps, vm, ports);
    }
  }
}

function earlierVolume(name: string, fact: VolumeFact, vm: VolumeOwnerVm, ports: VolumePorts): HeldVolume {
  switch (fact.kind) {
    case "copied":
      return new Copied(name, earlierCopy(fact), fact.maps, vm, ports);
    case "file":
      return new CopiedFile(name, fact, fact.version, vm, ports);
    case "memory":
      return new Memory(name, { key: fact.key, bytes: fact.bytes }, vm, fact.paths);
    case "shared":
      return new Shared(name, { key: fact.key }, undefined, vm, ports);
  }
}

async function endOf(volume: HeldVolume): Promise<void> {
  await volume.end();
  volume.forget();
}

/** The volumes of one container. */
export class ContainerVolumes {
  /** Those that nobody else has; what could not be ended stays here. */
  private ending: Counted[] = [];

  constructor(
    private readonly outcomes: readonly Outcome[],
    private used: readonly Counted[],
    private readonly all: GuestVolumes,
    private readonly vm: VolumeOwnerVm,
    private readonly ports: VolumePorts,
  ) {}

  /** The guest's names of them. */
  get names(): readonly string[] {
    return this.used.map(({ volume }) => volume.name);
  }

  /** The container's mounts and devices as the guest takes them. */
  mounted({ mounts, devices }: Pick<ContainerCreate, "mounts" | "devices">): Mounted {
    const more: GuestDevice[] = [];
    const found = mounts.flatMap((mount) => {
      const outcome = mount.type === "volume" ? this.outcomes[Number(mount.source)] : undefined;
      if (outcome === undefined) return [mount];
      if (!("device" in outcome)) return [{ ...mount, ...outcome }];
      more.push({ ...outcome.device, path: mount.destination });
      return [];
    });
    return { mounts: found, devices: [...devices, ...more], returned: this.returned() };
  }

  /**
   * Sends the guest what it lacks. The requests are on the link when this returns: what is asked after that finds the
   * volumes. The promise tells whether it does. Others may wait for the same requests, so nobody can call them off.
   */
  send(): Promise<void> {
    const unsent = this.used.flatMap((counted) => {
      const content = counted.volume.unsent();
      return content === undefined ? [] : [{ counted, content }];
    });
    if (unsent.length > 0) {
      const limits = { deadlineMs: this.ports.deadlines.containerCreate };
      const link = this.vm.liveLink;
      const writes = writesOf(unsent.map(({ content }) => content));
      const sending = Promise.all(writes.map((write) => link.request("volume.write", write, limits))).then(
        () => {
          for (const { counted } of unsent) counted.volume.sent();
        },
        (error: unknown) => {
          for (const { counted, content } of unsent) counted.volume.unwritten(content);
          throw error;
        },
      );
      sending.catch(() => undefined);
      for (const { counted } of unsent) counted.sending = sending;
    }
    return Promise.all(this.used.map(({ sending }) => sending)).then(() => undefined);
  }

  /** Once the guest has no container with them any more. What fails may be tried again. */
  async release(): Promise<void> {
    this.ending.push(...this.used.filter((counted) => this.all.leave(counted)));
    this.used = [];
    const ending = this.ending.map(async (counted) => {
      await counted.sending.catch(() => undefined);
      await endOf(counted.volume);
      this.ending = this.ending.filter((each) => each !== counted);
    });
    const failed = (await Promise.allSettled(ending)).find((each) => each.status === "rejected");
    if (failed !== undefined) throw failed.reason;
  }

  private returned(): string[] {
    return this.used.flatMap(({ volume }) =>
      volume instanceof CopiedFile && volume.isReturned ? [volume.name] : [],
    );
  }
}
