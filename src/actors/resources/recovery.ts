/**
 * What a starting daemon undoes of a previous one: of every journal that cannot be taken over, newest first, what has an intent and
 * no undo. Which journals those are is found-journals.ts's.
 *
 * It removes only what a journal names, and says what. A journal that cannot be read, as a whole or in some lines, or that
 * is of a later version, is kept aside: it may name something. Of a journal of another boot of the host only what is on a
 * disk is undone: a process or a mount of that name is somebody else's now.
 */
import type { Logger } from "../../contracts/logger.ts";
import { bootId } from "../../lib/processes/boot-id.ts";
import { readOnePatiently } from "./found-journals.ts";
import type { Outstanding } from "./journal/entries.ts";
import { isForAWhile } from "./journal/journal-file.ts";
import { keepAside } from "./journal/kept-aside.ts";
import { journalsIn, removeCopy, removeJournal } from "./journal/mended-journal.ts";
import { originOf, readJournal } from "./journal/read-journal.ts";
import type { ResourcePorts } from "./kinds/kind.ts";
import {
  describeResource,
  type HostResource,
  observeResource,
  outlivesBoot,
  undoResource,
} from "./kinds/kinds.ts";

/** What was done about one leftover sandbox. */
export interface Recovered {
  readonly journal: string;
  /** What was there, or may have been, and is gone. */
  readonly undone: readonly string[];
  /** Resource and reason; the journal is kept for the next start. */
  readonly failed: readonly { readonly resource: string; readonly error: unknown }[];
  /** The resources of {@link failed}. */
  readonly left: readonly HostResource[];
  /** Where the journal is kept that cannot be read, or has lines which cannot be. */
  readonly keptAside: string | undefined;
  /** Why the file could not be read or moved, if so. */
  readonly trouble?: unknown;
}

/** Undoes all that the journals in `directory` still hold. Never rejects for a single sandbox's trouble. */
export async function recover(directory: string, ports: ResourcePorts, logger: Logger): Promise<Recovered[]> {
  return undoLeftovers(await journalsIn(directory), ports, logger);
}

/**
 * Undoes all that these journals still hold, but for what others hold as well: a warm VM's resources are in its sandbox's journal,
 * too, when it is adopted. Never rejects for a single sandbox's trouble.
 */
export async function undoLeftovers(
  journals: readonly string[],
  ports: ResourcePorts,
  logger: Logger,
  held: readonly HostResource[] = [],
): Promise<Recovered[]> {
  const spared = new Set(held.map(identityOf));
  const reports = await Promise.all(journals.map((journal) => undoOne(journal, ports, spared)));
  for (const report of reports) tell(report, logger);
  return reports;
}

/** Newest first; but nothing is taken away from a process that runs, such as the image that a VM has. */
export function inOrderOfUndo(outstanding: readonly Outstanding[]): HostResource[] {
  const resources = outstanding.map(({ resource }) => resource).reverse();
  const isProcess = ({ kind }: HostResource) => kind === "process";
  return [...resources.filter(isProcess), ...resources.filter((each) => !isProcess(each))];
}

/** The same for a resource whatever is known of it. */
export function identityOf(resource: HostResource): string {
  return resource.kind === "process" ? `process ${resource.id}` : describeResource(resource);
}

async function undoOne(
  journal: string,
  ports: ResourcePorts,
  spared: ReadonlySet<string>,
): Promise<Recovered> {
  const undone: string[] = [];
  const failed: { resource: string; error: unknown }[] = [];
  const left: HostResource[] = [];
  let keptAside: string | undefined;
  try {
    const content = readJournal(await readOnePatiently(journal));
    const origin = originOf(content, await bootId());
    for (const resource of inOrderOfUndo(content.outstanding)) {
      if (origin === "another boot" && !outlivesBoot(resource)) continue;
      if (spared.has(identityOf(resource))) continue;
      const name = describeResource(resource);
      try {
        if (await undoLeftover(resource, ports)) undone.push(name);
      } catch (error) {
        failed.push({ resource: name, error });
        left.push(resource);
      }
    }
    const isWanted = content.unreadable.length > 0 || origin === "another version";
    if (failed.length > 0) keptAside = isWanted ? journal : undefined;
    else if (isWanted) keptAside = await keepAside(journal);
    else await removeJournal(journal);
    if (keptAside !== journal) await removeCopy(journal);
    return { journal, undone, failed, left, keptAside };
  } catch (trouble) {
    // what nobody can read now may be a pod that runs: the next start looks again
    keptAside = isForAWhile(trouble) ? journal : await keepAside(journal).catch(() => journal);
    if (keptAside !== journal) await removeCopy(journal).catch(() => undefined);
    return { journal, undone, failed, left, keptAside, trouble };
  }
}

/** False if it was gone already. A look may be wrong, so the undo is done all the same. */
async function undoLeftover(resource: HostResource, ports: ResourcePorts): Promise<boolean> {
  const presence = await observeResource(resource, ports);
  await undoResource(resource, ports);
  return presence !== "absent";
}

function tell({ journal, undone, failed, keptAside, trouble }: Recovered, logger: Logger): void {
  if (trouble === undefined)
    logger.warn({ journal, undone }, "cleaned up a sandbox left by a previous daemon");
  for (const { resource, error } of failed) {
    logger.error(
      { journal, resource, err: error },
      "could not clean up a resource left by a previous daemon; the next start tries again",
    );
  }
  if (keptAside !== undefined) {
    logger.error(
      trouble === undefined ? { journal, keptAside } : { journal, keptAside, err: trouble },
      trouble === undefined
        ? "a daemon's journal is of a later version or has lines that cannot be read; look for what they name and remove it"
        : "a previous daemon's journal cannot be read or removed; look for what it names and remove it",
    );
  }
}
