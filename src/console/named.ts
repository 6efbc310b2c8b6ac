/**
 * Which sandbox a word of the command line means: an id, the beginning of one, a pod's name, or namespace/name.
 *
 * A word that fits several pods is refused, with a list of them. Of one pod's sandboxes the running one is meant, else the
 * newest: a pod that was started again has the same name as before.
 */
import { blazarError } from "../contracts/errors.ts";
import type { SandboxSummary } from "../contracts/inspection.ts";
import { harmless } from "../lib/harmless.ts";

/** Digits of an id that are shown; they name the sandbox if no other id begins with them. */
export const SHOWN_DIGITS = 12;
/** Characters of a name that are shown: Kubernetes allows 63 for a namespace and 253 for a pod. */
const MOST_NAME = 80;
/** Candidates that an error lists. */
const LISTED = 8;

export function shortId(id: string): string {
  return harmless(id.slice(0, SHOWN_DIGITS));
}

export function podName({ pod }: Pick<SandboxSummary, "pod">): string {
  return harmless(`${pod.namespace}/${pod.name}`, { most: MOST_NAME });
}

/** Throws SandboxNotFound, or InvalidArgument if the word may mean several. */
export function named(all: readonly SandboxSummary[], word: string): SandboxSummary {
  const exact = all.find(({ id }) => id === word);
  if (exact !== undefined) return exact;
  const byName = all.filter(({ pod }) => pod.name === word || `${pod.namespace}/${pod.name}` === word);
  const fitting =
    byName.length > 0 ? ofEachPod(byName) : all.filter(({ id }) => word !== "" && id.startsWith(word));
  const [only] = fitting;
  if (only !== undefined && fitting.length === 1) return only;
  const operation = "find the sandbox";
  const subject = harmless(word, { most: 128 });
  if (only === undefined) {
    const remedy = "blazar ps lists those that there are";
    throw blazarError("SandboxNotFound", operation, "no id begins so, and no pod is called so", {
      subject,
      remedy,
    });
  }
  const listed = fitting
    .slice(0, LISTED)
    .map((each) => `\n  ${shortId(each.id)}  ${podName(each)}  ${harmless(each.state)}`);
  const more = fitting.length > LISTED ? `\n  and ${fitting.length - LISTED} more` : "";
  const remedy = `say more of its id, or namespace/name:${listed.join("")}${more}`;
  throw blazarError("InvalidArgument", operation, `it may mean ${fitting.length} sandboxes`, {
    subject,
    remedy,
  });
}

/** Of each pod the sandbox that runs, or else the newest. */
function ofEachPod(all: readonly SandboxSummary[]): SandboxSummary[] {
  const best = new Map<string, SandboxSummary>();
  for (const each of all) {
    const key = `${each.pod.namespace}/${each.pod.name}/${each.endedAt === undefined ? each.pod.uid : ""}`;
    const before = best.get(key);
    if (before === undefined || each.createdAt >= before.createdAt) best.set(key, each);
  }
  const running = [...best.values()].filter(({ endedAt }) => endedAt === undefined);
  return running.length > 0 ? running : [...best.values()];
}
