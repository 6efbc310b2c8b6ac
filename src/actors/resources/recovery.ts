/**
 * What a starting daemon does about a previous one: it reads every journal in the state directory and undoes, newest
 * first, what has an intent and no undo.
 *
 * It removes only what a journal names, and says what. A journal with lines that cannot be read is kept aside, because
 * they may name something. Running VMs are not re-adopted yet: they are ended like everything else.
 */
import { readdir, readFile, rename, unlink } from "node:fs/promises";
import { join } from "node:path";
import type { Logger } from "../../contracts/logger.ts";
import type { ResourcePorts } from "./kinds/kind.ts";
import { describeResource, type HostResource, observeResource, undoResource } from "./kinds/kinds.ts";
import { readJournal } from "./read-journal.ts";

/** What was done about one leftover sandbox. */
export interface Recovered {
  readonly journal: string;
  /** What was there, or may have been, and is gone. */
  readonly undone: readonly string[];
  /** Resource and reason; the journal is kept for the next start. */
  readonly failed: readonly { readonly resource: string; readonly error: unknown }[];
  /** Where the journal is kept that has lines which cannot be read. */
  readonly keptAside: string | undefined;
}

const SUFFIX = ".jsonl";
const ASIDE = ".unreadable";

/** Undoes all that the journals in `directory` still hold. Never rejects for a single sandbox's trouble. */
export async function recover(directory: string, ports: ResourcePorts, logger: Logger): Promise<Recovered[]> {
  const names = (await readdir(directory)).filter((name) => name.endsWith(SUFFIX));
  const reports = await Promise.all(names.map((name) => recoverOne(join(directory, name), ports)));
  for (const report of reports) tell(report, logger);
  return reports;
}

async function recoverOne(journal: string, ports: ResourcePorts): Promise<Recovered> {
  const { outstanding, unreadable } = readJournal(await readFile(journal, "utf8"));
  const undone: string[] = [];
  const failed: { resource: string; error: unknown }[] = [];
  for (const { resource } of [...outstanding].reverse()) {
    const name = describeResource(resource);
    try {
      if (await undoLeftover(resource, ports)) undone.push(name);
    } catch (error) {
      failed.push({ resource: name, error });
    }
  }
  const keptAside = unreadable.length === 0 ? undefined : `${journal}${ASIDE}`;
  if (failed.length === 0) await (keptAside === undefined ? unlink(journal) : rename(journal, keptAside));
  return { journal, undone, failed, keptAside };
}

/** False if it was gone already. A look may be wrong, so the undo is done all the same. */
async function undoLeftover(resource: HostResource, ports: ResourcePorts): Promise<boolean> {
  const presence = await observeResource(resource, ports);
  await undoResource(resource, ports);
  return presence !== "absent";
}

function tell({ journal, undone, failed, keptAside }: Recovered, logger: Logger): void {
  logger.warn({ journal, undone }, "cleaned up a sandbox left by a previous daemon");
  for (const { resource, error } of failed) {
    logger.error(
      { journal, resource, err: error },
      "could not clean up a resource left by a previous daemon; the next start tries again",
    );
  }
  if (keptAside !== undefined) {
    logger.error(
      { journal, keptAside },
      "a previous daemon's journal has lines that cannot be read; look for what they name and remove the file",
    );
  }
}
