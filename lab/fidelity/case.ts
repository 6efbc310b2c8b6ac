/**
 * A case of fidelity: what a container does, which must be the same under blazar as under runc.
 */
import type { Handler, HandlerPod, PodConfig } from "./handler-pod.ts";

export interface FidelityCase {
  /** A sentence's beginning: `a neighbour's disk cannot be opened`. */
  readonly name: string;
  /** What is compared. Must not differ from run to run. */
  readonly run: (pod: HandlerPod) => Promise<string>;
  /** The case has a pod of its own, with this configuration. */
  readonly pod?: PodConfig | ((handler: Handler) => PodConfig);
  /** Its pod is one that nobody can start: that both refuse it is the same answer, and not a fault of the node. */
  readonly podIsRefused?: boolean;
  /** Its pod's containers begin with the spec of base-spec.ts, which has what CRI has no field for. */
  readonly baseSpec?: true;
  /** Why the answers may differ; docs/specification.md says it, too. */
  readonly explained?: string;
  /** How long it may take; what takes longer hangs, which is an answer, too. A minute if it is not given. */
  readonly mostMs?: number;
  /** False where this host cannot show the case under runc, which is then left out. */
  readonly applies?: () => boolean;
}
