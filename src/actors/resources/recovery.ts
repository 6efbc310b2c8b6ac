/**
 * What a starting daemon does about a previous one: it reads every journal in the state directory. A sandbox that was ready can
 * be taken over. Of everything else it undoes, newest first, what has an intent and no undo.
 *
 * It removes only what a journal names, and says what. A journal that cannot be read, as a whole or in some lines, or that
 * is of a later version, is kept aside: it may name something. Of a journal of another boot of the host only what is on a
 * disk is undone: a process or a mount of that name is somebody else's now.
 */
import { readdir, unlink } from "node:fs/promises";
import { basename, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Logger } from "../../contracts/logger.ts";
import { bootId } from "../../lib/processes/boot-id.ts";
import type { Outstanding } from "./entries.ts";
import { FileJournal } from "./journal.ts";
import { isForAWhile } from "./journal-file.ts";
import { readJournalText } from "./journal-text.ts";
import { keepAside } from "./kept-aside.ts";
import type { ResourcePorts } from "./kinds/kind.ts";
import {
  describeResource,
  type HostResource,
  observeResource,
  outlivesBoot,
  undoResource,
} from "./kinds/kinds.ts";
import { type LeftSandbox, readKnownSandbox } from "./known-sandbox.ts";
import { historyOf, originOf, readJournal } from "./read-journal.ts";

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

const SUFFIX = ".jsonl";
/** How often a journal that cannot be read is tried. */
const READS = 5;
const BETWEEN_READS_MS = 50;

/** The journals of a previous daemon. */
export interface FoundJournals {
  readonly adoptable: readonly LeftSandbox[];
  /** Paths of those that the host cannot read now. They are left alone: they may be of pods that run. */
  readonly unread: readonly string[];
  /** Paths of all others. */
  readonly leftover: readonly string[];
}

/** Reads all journals in `directory`, and opens those of sandboxes that can be taken over. */
export async function findSandboxes(directory: string, logger: Logger): Promise<FoundJournals> {
  const paths = await journalsIn(directory);
  const boot = await bootId();
  const adoptable: LeftSandbox[] = [];
  const unread: string[] = [];
  const leftover: string[] = [];
  const sort = async (path: string): Promise<void> => {
    const left = await findOne(path, boot, logger);
    if (left === "leftover") leftover.push(path);
    else if (left === "unread") unread.push(path);
    else adoptable.push(left);
  };
  await Promise.all(paths.map(sort));
  return { adoptable, unread, leftover };
}

/** `leftover`: it has to be undone. `unread`: nobody knows what it is. */
async function findOne(
  path: string,
  boot: string | undefined,
  logger: Logger,
): Promise<LeftSandbox | "leftover" | "unread"> {
  try {
    const content = readJournal(await readPatiently(path));
    const known = readKnownSandbox(content.facts);
    const isOwn = known?.spec.id === basename(path, SUFFIX) && known.spec.id === content.sandboxId;
    if (known === undefined || !isOwn || originOf(content, boot) !== "here") return "leftover";
    const { facts } = content;
    const journal = await FileJournal.reopen(path, content);
    if (journal.trouble !== undefined)
      logger.error(
        { err: journal.trouble, journal: path },
        "a sandbox's journal cannot be written now; it is tried again, and the sandbox is taken over",
      );
    const unreadable = content.unreadable.length > 0;
    if (unreadable)
      logger.error({ journal: path }, "some lines of a sandbox's journal cannot be read; they stay in it");
    return { known, journal, path, facts, history: historyOf(content), unreadable };
  } catch (err) {
    const isOver = !isForAWhile(err);
    logger.error(
      { err, journal: path },
      isOver
        ? "a sandbox of a previous daemon cannot be taken over"
        : "a journal of a previous daemon cannot be read now; it is left alone until the next start",
    );
    return isOver ? "leftover" : "unread";
  }
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

async function journalsIn(directory: string): Promise<string[]> {
  const names = (await readdir(directory)).filter((name) => name.endsWith(SUFFIX));
  return names.map((name) => join(directory, name));
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
    const content = readJournal(await readPatiently(journal));
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
    else await unlink(journal);
    return { journal, undone, failed, left, keptAside };
  } catch (trouble) {
    // what nobody can read now may be a pod that runs: the next start looks again
    keptAside = isForAWhile(trouble) ? journal : await keepAside(journal).catch(() => journal);
    return { journal, undone, failed, left, keptAside, trouble };
  }
}

/** The host may be short of something for a moment. */
async function readPatiently(path: string): Promise<string> {
  for (let left = READS; ; left--) {
    try {
      return await readJournalText(path);
    } catch (error) {
      if (left === 1 || !isForAWhile(error)) throw error;
      await sleep(BETWEEN_READS_MS);
    }
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
