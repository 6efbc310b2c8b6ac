/**
 * A workload: a program that people run in pods, driven by a script, with answers that can only be right or wrong.
 */
/** What a workload needs of its pod. */
export interface WorkloadPod {
  /** Runs a script of scripts/ in a container with the volumes; returns its answers, and more if it fails. */
  readonly run: (script: string) => Promise<string>;
  /** The same while another script serves in a container of its own. */
  readonly during: (server: string, use: () => Promise<string>) => Promise<string>;
}

export interface Workload {
  readonly name: string;
  readonly run: (pod: WorkloadPod) => Promise<string>;
  /** The answers, a line each. */
  readonly right: readonly string[];
}
