/**
 * Warm VMs that are there from the beginning and are not replaced: the {@link WarmVms} port without a pool's timers.
 */

import { SandboxRuntime } from "../../../src/actors/sandbox/sandbox.actor.ts";
import { poolSpec } from "../../../src/actors/supply/pool.actor.ts";
import type { WarmVm, WarmVms } from "../../../src/actors/supply/vm-supply.ts";
import type { FakeGuest, GuestFaults } from "../fake-guest/guest.ts";
import type { MemoryHost } from "./host.ts";

export class WarmStock implements WarmVms {
  readonly guests: readonly FakeGuest[];
  private readonly ids: readonly string[];

  private constructor(
    private readonly memory: MemoryHost,
    private readonly warm: SandboxRuntime[],
  ) {
    this.ids = warm.map(({ id }) => id);
    this.guests = this.ids.map((id) => memory.driver.vm(id).guest);
  }

  /** Makes `count` VMs of the default size and gives them to the host's supply. */
  static async of(memory: MemoryHost, count: number): Promise<WarmStock> {
    const warm: SandboxRuntime[] = [];
    for (let i = 0; i < count; i++) {
      const runtime = new SandboxRuntime(poolSpec(`pool-${i}`), memory.host);
      await runtime.warmUp(new AbortController().signal);
      warm.push(runtime);
    }
    const stock = new WarmStock(memory, warm);
    memory.host.supply.pool = stock;
    return stock;
  }

  /** How many nobody has taken. */
  get left(): number {
    return this.warm.length;
  }

  reserve(): WarmVm | undefined {
    return this.warm.shift();
  }

  async take(): Promise<WarmVm | undefined> {
    return this.warm.shift();
  }

  /** From now on this is wrong with every guest. */
  fault(faults: GuestFaults): void {
    for (const guest of this.guests) Object.assign(guest.faults, faults);
  }

  /** Every VM dies, as if somebody had killed its process. */
  async kill(): Promise<void> {
    const vms = this.ids.map((id) => this.memory.driver.vm(id));
    for (const vm of vms) vm.die(-1, 9);
    await Promise.all(vms.map(({ exited }) => exited));
  }

  /** Ends what nobody has taken. */
  async end(): Promise<void> {
    await Promise.all(this.warm.splice(0).map((each) => each.destroy()));
  }
}
