/**
 * What a starting daemon does about its dead predecessor: reads every journal left in the state directory and
 * undoes, newest first, what has an intent and no undo. It removes only what a journal names, and says what.
 * Running VMs are not re-adopted yet; they are ended like everything else.
 */
import { readdir, readFile, unlink } from "node:fs/promises";
import { join } from "node:path";
import type { Logger } from "../../contracts/logger.ts";
import { type HostResource, readJournal } from "./journal.ts";
import { describeResource, type UndoPorts, undo } from "./undo.ts";

/** What was done about one leftover sandbox. */
export interface Recovered {
  readonly journal: string;
  readonly undone: readonly string[];
  /** Resource and reason; the journal is kept for the next start. */
  readonly failed: readonly { readonly resource: string; readonly error: unknown }[];
}

const SUFFIX = ".jsonl";

/** Undoes all that the journals in `directory` still hold. Never rejects for a single sandbox's trouble. */
export async function recover(directory: string, ports: UndoPorts, logger: Logger): Promise<Recovered[]> {
  const names = (await readdir(directory)).filter((name) => name.endsWith(SUFFIX));
  const reports = await Promise.all(names.map((name) => recoverOne(join(directory, name), ports)));
  for (const report of reports) tell(report, logger);
  return reports;
}

async function recoverOne(journal: string, ports: UndoPorts): Promise<Recovered> {
  const { outstanding } = readJournal(await readFile(journal, "utf8"));
  const undone: string[] = [];
  const failed: { resource: string; error: unknown }[] = [];
  for (const { resource } of [...outstanding].reverse()) {
    const name = describeResource(resource as HostResource);
    try {
      await undo(resource, ports);
      undone.push(name);
    } catch (error) {
      failed.push({ resource: name, error });
    }
  }
  if (failed.length === 0) await unlink(journal);
  return { journal, undone, failed };
}

function tell({ journal, undone, failed }: Recovered, logger: Logger): void {
  logger.warn({ journal, undone }, "undid what a daemon that has ended left of a sandbox");
  for (const { resource, error } of failed) {
    logger.error(
      { journal, resource, err: error },
      "could not undo what a daemon that has ended left; will try at the next start",
    );
  }
}
