/**
 * The reconciler's port: what is on the host, what containerd knows, and what the journals say, compared.
 *
 * Plain data in an operator's words. Texts may come from a guest's pod: whoever shows them makes them harmless.
 */

/** Something that differs. */
export interface Difference {
  /** `process`, `directory`, `cgroups`, `sandbox`, …: as the metric counts them. */
  readonly kind: string;
  /** What it is, and which. */
  readonly text: string;
  /** What is done about it, as a sentence without a subject: `"removes it"`; "" = nothing, it is only told. */
  readonly action: string;
  /**
   * - `new`: seen once; it may be in the making;
   * - `confirmed`: seen before, so it is done about;
   * - `done`: it has been done;
   * - `failed`: it could not be done, and is tried again.
   */
  readonly state: "new" | "confirmed" | "done" | "failed";
  /** Why it could not be done; "" = it could, or was not tried. */
  readonly error: string;
  /** When it was seen first, milliseconds since the epoch. */
  readonly since: number;
}

export interface Reconciliation {
  readonly differences: readonly Difference[];
  /** What could not be looked at, a sentence each. Nothing is concluded from it. */
  readonly unknown: readonly string[];
}

export interface Reconciling {
  /**
   * Compares now, and again some seconds later if there is something: what was in the making is gone then.
   * @param fix does what there is to do; without it nothing is changed
   */
  reconcile(fix: boolean): Promise<Reconciliation>;
}

/** A sandbox as containerd's store has it. */
export interface StoredSandbox {
  readonly id: string;
  /** The name of its sandboxer, as containerd's configuration has it; "" = containerd's own. */
  readonly sandboxer: string;
}

/** What containerd knows of sandboxes: containerd.services.sandbox.v1.Store. */
export interface SandboxStore {
  /** Of all of its namespaces and all sandboxers. @throws BlazarError of kind `unavailable` */
  list(signal?: AbortSignal): Promise<readonly StoredSandbox[]>;
  close(): void;
}
