/**
 * Whom the kernel kills first when the whole host is out of memory: oom_score_adj(5) of a pod's processes.
 *
 * As kubelet does it (pkg/kubelet/qos/policy.go), by the pod's QoS class, which is in the path of its control group. A pod of the
 * class Burstable may use what it asked for without being the first; of what it asked for only the size of its VM is known.
 */

const GUARANTEED = -997;
const LAST_OF_BURSTABLE = 3;
const FIRST_OF_BURSTABLE = 999;
const FIRST = 1000;

/**
 * @param procs its `cgroup.procs` files; none: it is a spare process, which nobody misses
 * @param share of the host's memory, 0 to 1
 */
export function oomScoreAdj(procs: readonly string[], share: number): number {
  const [path] = procs;
  if (path === undefined) return FIRST;
  // no kubelet: as any process
  if (!/[/-]kubepods[/.-]/.test(path)) return 0;
  const [, quality] = /[/-]kubepods[/-](besteffort|burstable)[/.]/.exec(path) ?? [];
  if (quality === "besteffort") return FIRST;
  if (quality === undefined) return GUARANTEED;
  const adjusted = 1000 - Math.round(1000 * share);
  return Math.min(FIRST_OF_BURSTABLE, Math.max(LAST_OF_BURSTABLE, adjusted));
}
