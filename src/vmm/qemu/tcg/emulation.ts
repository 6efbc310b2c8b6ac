/**
 * The emulated processor (QEMU's TCG): which one the guest sees, and the clock that it cannot measure for itself.
 *
 * It is decided here alone, and reaches the command line as an {@link Accelerator}.
 */
import type { Accelerator } from "../accelerator.ts";

/**
 * All that QEMU can do, but not what is slow when emulated:
 * - with `erms` the kernel clears and copies pages byte by byte (`rep stosb`), each byte a turn of a loop;
 * - with 5-level page tables (`la57`) each walk has one more load;
 * - with protection keys each write to their register empties QEMU's TLB: at a fork, an execve, a change to the idle task.
 */
export const EMULATED_CPU = "max,erms=off,la57=off,pku=off,pks=off";

/** `tscKhz`: frequency of the host's time stamp counter, which is the guest's, too; undefined if it is not known. */
export function emulation(tscKhz: number | undefined): Accelerator {
  // microvm has nothing to calibrate the counter by
  const clock = tscKhz === undefined ? [] : [`tsc_early_khz=${tscKhz}`, "tsc=reliable"];
  return { name: "tcg", cpu: EMULATED_CPU, kernelArguments: clock };
}
