/**
 * What `blazar drain` prints: a line for each pod that has ended, then what has become of all.
 */
import type { DrainedSandbox } from "../contracts/drain.ts";
import { harmless } from "../lib/harmless.ts";

export function drainedLine({ pod, leftovers }: DrainedSandbox, left: number): string {
  const name = harmless(`${pod.namespace}/${pod.name}`);
  const trouble = leftovers === "" ? "" : `, but these steps of its end failed: ${leftovers}`;
  return `ended ${name}${trouble}; ${left} left\n`;
}

export function drainSummary(ended: number, unclean: number): string {
  const left =
    unclean === 0
      ? ""
      : ` ${unclean} could not be taken down wholly: what is left goes when the pod is removed.`;
  const pods = ended === 1 ? "1 pod has ended" : `${ended} pods have ended`;
  return `drained: ${pods}.${left} New pods are refused until \`blazar undrain\` or a restart of blazard.\n`;
}
