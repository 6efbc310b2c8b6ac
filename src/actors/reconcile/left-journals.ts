/**
 * The look of the reconciler at journals of dead daemons that the recovery could not undo whole: they are tried again.
 *
 * Only those that the recovery has named: a journal of a sandbox that is being taken over looks the same.
 */
import { readFile, unlink } from "node:fs/promises";
import { basename } from "node:path";
import { keepAside } from "../resources/kept-aside.ts";
import type { ResourcePorts } from "../resources/kinds/kind.ts";
import { undoResource } from "../resources/kinds/kinds.ts";
import { readJournal } from "../resources/read-journal.ts";
import type { Found, Look } from "./found.ts";

/** @param paths of journals; nobody has them open, and nobody will */
export function lookAtLeftJournals(paths: readonly string[], undo: ResourcePorts): Look {
  return async () => {
    const left = await Promise.all(
      paths.map(async (path) => ((await textOf(path)) === undefined ? [] : [path])),
    );
    return left.flat().map((path): Found => {
      const text = `journal ${basename(path)} of an earlier daemon`;
      const remedy = () => finish(path, undo);
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

async function finish(path: string, undo: ResourcePorts): Promise<void> {
  const { outstanding, unreadable } = readJournal((await textOf(path)) ?? "");
  const failures: unknown[] = [];
  for (const { resource } of [...outstanding].reverse())
    await undoResource(resource, undo).catch((error: unknown) => failures.push(error));
  if (failures.length > 0) throw failures[0];
  if (unreadable.length > 0) await keepAside(path);
  else await unlink(path);
}

function textOf(path: string): Promise<string | undefined> {
  return readFile(path, "utf8").catch((error: unknown) => {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  });
}
