/**
 * The drain port: an operator takes all pods off a node, and later lets it take some again.
 *
 * It is no part of the inspection port, which changes nothing.
 */

/** A sandbox that has ended, or has not. */
export interface DrainedSandbox {
  readonly id: string;
  readonly pod: { readonly name: string; readonly namespace: string };
  /** Path of its state, such as `stopping.vmm`. */
  readonly state: string;
  /** Steps of its end that have failed or were late, with commas between; "" = none. Shutdown comes back to them. */
  readonly leftovers: string;
}

export interface DrainProgress {
  /** The sandbox that has ended; undefined in the first message. */
  readonly ended: DrainedSandbox | undefined;
  /** Sandboxes that have not ended. */
  readonly left: number;
}

export interface NodeDrain {
  /**
   * Refuses new sandboxes from now on, and ends all that are there. Resolves when they have ended; every wait of an end has
   * its deadline. Nothing calls it off.
   */
  drain(onProgress: (progress: DrainProgress) => void): Promise<void>;
  /** Sandboxes that have not ended. */
  left(): DrainedSandbox[];
  /** Takes new sandboxes again. Harmless if it does already. */
  undrain(): void;
}
