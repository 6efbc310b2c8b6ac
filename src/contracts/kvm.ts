/**
 * Whether guests can run under KVM on this host, and why not.
 */

/**
 * - `works`: a guest has booted under it;
 * - `absent`: there is no KVM;
 * - `denied`: there is, and the VMM may not use it;
 * - `broken`: a guest that was booted under it has died;
 * - `undecided`: a guest that was booted under it has not answered in time; guests are emulated until it does;
 * - `unwanted`: it was not looked for.
 */
export const KVM_STATES = ["works", "absent", "denied", "broken", "undecided", "unwanted"] as const;

export type KvmState = (typeof KVM_STATES)[number];

/** What was found. Both texts are for an operator; they are empty where it works or is not wanted. */
export interface KvmFinding {
  readonly state: KvmState;
  /** A clause: `there is no /dev/kvm`. */
  readonly reason: string;
  readonly remedy: string;
}

export const KVM_WORKS: KvmFinding = { state: "works", reason: "", remedy: "" };
export const KVM_UNWANTED: KvmFinding = { state: "unwanted", reason: "", remedy: "" };
