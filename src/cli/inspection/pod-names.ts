/**
 * Names of pods for completion: a daemon that does not answer at once has none.
 */
import { within } from "../../lib/async.ts";
import { withDaemon } from "./session.ts";

const ANSWER_MS = 700;

/** As `namespace/name`, and by name alone where that is unique. */
export async function podNames(): Promise<string[]> {
  const sandboxes = await within(
    withDaemon({}, (daemon) => daemon.list()),
    ANSWER_MS,
  ).catch(() => undefined);
  const pods = [...new Set((sandboxes ?? []).map(({ pod }) => `${pod.namespace}/${pod.name}`))];
  const names = pods.map((each) => each.slice(each.indexOf("/") + 1));
  const unique = names.filter(
    (each, index) => names.indexOf(each) === index && names.lastIndexOf(each) === index,
  );
  return [...unique, ...pods];
}
