/**
 * What every suite is given: the node's parts, the run's options, and lists that it adds to.
 */
import type { Artifacts } from "../../setup/steps/artifacts.ts";
import type { Progress } from "../output/progress.ts";
import type { Absence } from "../output/results.ts";
import type { Random } from "../stats/random.ts";

export interface SuiteContext {
  readonly artifacts: Artifacts;
  readonly progress: Progress;
  /** The run's one source of chance. */
  readonly random: Random;
  readonly handlers: readonly string[];
  /** How often each variant is measured. */
  readonly runs: number;
  /** Pods at once, or at most. */
  readonly pods: number;
  /** Fewer points where a suite has a choice. */
  readonly quick: boolean;
  readonly containerdConfig: string | undefined;
  /** `serial`: pods on a network of CNI's beside hostNetwork pods. */
  readonly cni: boolean;
  /** `files`: a reference or a tar; undefined = the image made of Debian's packages. */
  readonly image: string | undefined;
  /** Measurements that were not possible; suites add to it. */
  readonly absent: Absence[];
  /** Facts for the machine's description that only a pod can tell; suites add to it. */
  readonly learned: { acceleration: string };
  /** Aborted by Ctrl-C: a suite stops at the next sample. */
  readonly signal: AbortSignal;
}
