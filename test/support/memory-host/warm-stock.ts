/**
 * Actors with warm VMs in their pool, which a test can hold by their guests.
 */
import type { Actors } from "../../../src/daemon/actors.ts";
import { type Deferred, deferred } from "../../../src/lib/async.ts";
import type { FakeGuest, GuestFaults } from "../fake-guest/guest.ts";
import type { FakeVm } from "../fake-vmm/vm.ts";
import type { MemoryHost } from "./host.ts";

/** Lets time pass, by the clock that a test has. */
export type Pass = () => Promise<void>;

const REHEARSAL = "/bin/true";

/** What the guests of a host with a pool do: the rehearsal's program ends, every other runs. */
export const rehearsable = {
  script: ({ args }: { readonly args: readonly string[] }) => (args[0] === REHEARSAL ? { exit: 0 } : {}),
};

export class WarmStock {
  private constructor(
    readonly actors: Actors,
    private readonly vms: readonly FakeVm[],
    private readonly busy: Deferred<void>,
  ) {}

  /** Fills a pool with `count` VMs of the default size. VMs that are taken are not made up for: the node stays busy. */
  static async of(
    memory: MemoryHost,
    count: number,
    pass: Pass = aLittle,
    /** What has been before. */
    history: (actors: Actors) => void = () => undefined,
  ): Promise<WarmStock> {
    const actors = memory.actors({ max: count });
    history(actors);
    actors.pool.start();
    while (!actors.pool.isFull) await pass();
    const busy = deferred<void>();
    void memory.ports.pace.activity.during(() => busy.promise);
    return new WarmStock(
      actors,
      memory.driver.running.map((id) => memory.driver.vm(id)),
      busy,
    );
  }

  get ids(): readonly string[] {
    return this.vms.map(({ id }) => id);
  }

  get guests(): readonly FakeGuest[] {
    return this.vms.map(({ guest }) => guest);
  }

  /** How many nobody has taken. */
  get left(): number {
    return this.actors.pool.size;
  }

  /** From now on this is wrong with every guest. */
  fault(faults: GuestFaults): void {
    for (const guest of this.guests) Object.assign(guest.faults, faults);
  }

  /** Every VM dies, as if somebody had killed its process. */
  async kill(): Promise<void> {
    for (const vm of this.vms) vm.die(-1, 9);
    await Promise.all(this.vms.map(({ exited }) => exited));
  }

  /** Ends everything: pods first, then what nobody has taken. */
  async end(): Promise<void> {
    this.busy.resolve();
    await this.actors.sandboxes.drain();
    await this.actors.pool.close();
  }
}

function aLittle(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 5));
}
