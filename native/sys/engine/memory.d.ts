/**
 * The memory of this process (memory.c).
 */

declare module "sys" {
  /**
   * Makes the pages that this process uses present, and its own. After a clone, the first use of each would be a fault,
   * and most often a copy.
   */
  export function populateMemory(): Result;
}
