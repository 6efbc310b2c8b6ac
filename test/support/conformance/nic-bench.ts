/** What a driver brings to the suite of VMM drivers for network interfaces. */
import type { Vm } from "../../../src/contracts/vm.ts";

/** Mean bytes of a frame of a TCP stream, as the one who gets it sees them: more than an MTU where offloads are used. */
export interface Exchange {
  readonly toGuest: number;
  readonly fromGuest: number;
}

/** What a bench needs for VMs with network interfaces; undefined where it may have none, as without root. */
export interface NicBench {
  /**
   * Has a VM's guest and the host send each other a stream over an interface, by its tap, which is moved to where only the
   * two of them are. Once for a VM. Rejects if nothing comes through.
   */
  exchange(vm: Vm, nic: number): Promise<Exchange>;
  /** Whether there is still a tap of this name where VMs' taps are made. */
  parked(vm: Vm, nic: number): Promise<boolean>;
}
