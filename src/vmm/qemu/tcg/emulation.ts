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

const MEBIBYTE = 2 ** 20;

/**
 * @param tscKhz frequency of the host's time stamp counter, which is the guest's, too; undefined if it is not known
 * @param codeBytes what translated code may take; when that is full, all of it is thrown away and translated again
 */
export function emulation(tscKhz: number | undefined, codeBytes: number): Accelerator {
  // microvm has nothing to calibrate the counter by
  const clock = tscKhz === undefined ? [] : [`tsc_early_khz=${tscKhz}`, "tsc=reliable"];
  return {
    name: "tcg",
    cpu: EMULATED_CPU,
    // QEMU's own default is an eighth of the host's memory, up to 1 GB
    options: [`tb-size=${Math.ceil(codeBytes / MEBIBYTE)}`],
    kernelArguments: clock,
    bytes: codeBytes,
  };
}
