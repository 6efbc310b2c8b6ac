/**
 * The look of the reconciler at journals of dead daemons that the recovery could not undo whole: they are tried again.
 *
 * Only those that the recovery has named: a journal of a sandbox that is being taken over looks the same. What another one
 * holds meanwhile is spared.
 */
import { basename } from "node:path";
import { silentLogger } from "../../contracts/logger.ts";
import { readJournalText } from "../resources/journal/journal-text.ts";
import type { OpenJournals } from "../resources/journal/open-journals.ts";
import type { ResourcePorts } from "../resources/kinds/kind.ts";
import type { HostResource } from "../resources/kinds/kinds.ts";
import { undoLeftovers } from "../resources/recovery.ts";
import type { Found, Look } from "./found.ts";

/** @param paths of journals; nobody has them open, and nobody will */
export function lookAtLeftJournals(
  paths: readonly string[],
  undo: ResourcePorts,
  journals: Pick<OpenJournals, "resources">,
): Look {
  return async () => {
    const left = await Promise.all(
      paths.map(async (path) => ((await textOf(path)) === undefined ? [] : [path])),
    );
    return left.flat().map((path): Found => {
      const text = `journal ${basename(path)} of an earlier daemon`;
      const remedy = () => finish(path, undo, [...journals.resources()]);
      return {
        kind: "journal",
        key: `left ${path}`,
        text,
        resource: undefined,
        action: "undoes what it names",
        remedy,
      };
    });
  };
}

async function finish(path: string, undo: ResourcePorts, held: readonly HostResource[]): Promise<void> {
  const [report] = await undoLeftovers([path], undo, silentLogger, held);
  const error = report?.failed[0]?.error ?? report?.trouble;
  if (error !== undefined) throw error;
}

function textOf(path: string): Promise<string | undefined> {
  return readJournalText(path).catch((error: unknown) => {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  });
}
