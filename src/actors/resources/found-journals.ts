/**
 * What a starting daemon finds in its state directory: journals of sandboxes that it can take over, of leftovers to undo, and of
 * sandboxes that may run and that it must leave alone.
 *
 * A journal that is damaged is mended by its copy first. What stays damaged proves nothing: as long as a process runs that no
 * other journal names, it may be that journal's. A later daemon's journals are its own: as long as something of theirs runs, this
 * one does not start. Must not undo anything.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { blazarError } from "../../contracts/errors.ts";
import type { Keeper } from "../../contracts/keeper.ts";
import type { Logger } from "../../contracts/logger.ts";
import { bootId } from "../../lib/processes/boot-id.ts";
import { isAlive } from "../../lib/processes/processes.ts";
import { isMaker } from "../reconcile/lost-makers.ts";
import { JOURNAL_VERSION } from "./journal/entries.ts";
import { FileJournal } from "./journal/journal.ts";
import { isForAWhile } from "./journal/journal-file.ts";
import { readJournalText } from "./journal/journal-text.ts";
import { idOf, journalsIn, readMended, replaceDamaged } from "./journal/mended-journal.ts";
import {
  historyOf,
  isOfAnotherBoot,
  type JournalContent,
  originOf,
  readJournal,
} from "./journal/read-journal.ts";
import { type LeftSandbox, readKnownSandbox } from "./known-sandbox.ts";

/** The journals of a previous daemon. */
export interface FoundJournals {
  readonly adoptable: readonly LeftSandbox[];
  /** Paths of those that the host cannot read now. They are left alone: they may be of pods that run. */
  readonly unread: readonly string[];
  /** Paths of damaged ones, whose pods may run: they cannot be taken over, and nothing of them is undone. */
  readonly stranded: readonly string[];
  /** Paths of all others. */
  readonly leftover: readonly string[];
}

/** How often a journal that cannot be read is tried. */
const READS = 5;
const BETWEEN_READS_MS = 50;
/** CRI's ids of sandboxes: a journal of another name is a warm VM's, which serves nobody. */
const SANDBOX_ID = /^[0-9a-f]{64}$/;

type Sorted =
  | { readonly kind: "adoptable"; readonly left: LeftSandbox; readonly content: JournalContent }
  | { readonly kind: "leftover"; readonly path: string; readonly content: JournalContent | undefined }
  | { readonly kind: "damaged" | "unread"; readonly path: string };

/**
 * Reads all journals in `directory`, and opens those of sandboxes that can be taken over.
 * @param keeper what it holds now
 * @throws BlazarError ProtocolVersion if a later daemon's pods run
 */
export async function findSandboxes(
  directory: string,
  keeper: Pick<Keeper, "inventory">,
  logger: Logger,
): Promise<FoundJournals> {
  const boot = await bootId();
  const paths = await journalsIn(directory);
  const contents = await Promise.all(paths.map((path) => read(path, logger)));
  for (const each of contents) await refuseLater(each, boot, keeper);
  const sorted = await Promise.all(contents.map((each) => sort(each, boot, logger)));
  const of = <Kind extends Sorted["kind"]>(kind: Kind) =>
    sorted.filter((each): each is Extract<Sorted, { kind: Kind }> => each.kind === kind);
  const leftover = of("leftover").map(({ path }) => path);
  const damaged = of("damaged").map(({ path }) => path);
  const whole = [...of("adoptable"), ...of("leftover")];
  const strand = damaged.length > 0 && hasUnnamed(keeper, whole);
  return {
    adoptable: of("adoptable").map(({ left }) => left),
    unread: of("unread").map(({ path }) => path),
    stranded: strand ? damaged : [],
    leftover: strand ? leftover : [...leftover, ...damaged],
  };
}

interface Read {
  readonly path: string;
  readonly content?: JournalContent;
  readonly trouble?: unknown;
}

async function read(path: string, logger: Logger): Promise<Read> {
  try {
    const { text, isMended } = await readPatiently(() => readMended(path));
    if (isMended) {
      await replaceDamaged(path, text);
      logger.error({ journal: path }, "a sandbox's journal was damaged; it was mended by its copy");
    }
    return { path, content: readJournal(text) };
  } catch (trouble) {
    return { path, trouble };
  }
}

/** Its pods run on, and it can take them over when it is started again. */
async function refuseLater(
  { path, content }: Read,
  boot: string | undefined,
  keeper: Pick<Keeper, "inventory">,
): Promise<void> {
  if (content === undefined || originOf(content, boot) !== "another version") return;
  if (isOfAnotherBoot(content, boot) || !(await runs(idOf(path), content, keeper))) return;
  const reason = `it is of version ${content.version}, and this blazard reads ${JOURNAL_VERSION}: a later blazard's pod runs`;
  throw blazarError("ProtocolVersion", "take over what a previous blazard has left", reason, {
    subject: path,
    remedy: "start the later blazard again, or end its pods by `blazar drain` first",
  });
}

async function runs(
  id: string,
  content: JournalContent,
  keeper: Pick<Keeper, "inventory">,
): Promise<boolean> {
  if (keeper.inventory().processes.some((each) => each.id === id && each.exit === undefined)) return true;
  for (const { resource } of content.outstanding) {
    if (resource.kind !== "process") continue;
    const { pid, startTime } = resource;
    if (pid !== undefined && startTime !== undefined && (await isAlive({ pid, startTime }))) return true;
  }
  // one that cannot be read may be of anything that the keeper has
  return content.unreadable.length > 0 && keeper.inventory().processes.some(({ exit }) => exit === undefined);
}

async function sort(each: Read, boot: string | undefined, logger: Logger): Promise<Sorted> {
  const { path, content } = each;
  try {
    if (content === undefined) throw each.trouble;
    const known = readKnownSandbox(content.facts);
    const isOwn = content.sandboxId === idOf(path);
    const origin = originOf(content, boot);
    if (known === undefined || known.spec.id !== idOf(path) || !isOwn || origin !== "here") {
      const isDamaged = origin === "here" && (!isOwn || content.unreadable.length > 0);
      return isDamaged && SANDBOX_ID.test(idOf(path))
        ? { kind: "damaged", path }
        : { kind: "leftover", path, content };
    }
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
    const left = { known, journal, path, facts, history: historyOf(content), unreadable };
    return { kind: "adoptable", left, content };
  } catch (err) {
    const isOver = !isForAWhile(err);
    logger.error(
      { err, journal: path },
      isOver
        ? "a sandbox of a previous daemon cannot be taken over"
        : "a journal of a previous daemon cannot be read now; it is left alone until the next start",
    );
    if (!isOver) return { kind: "unread", path };
    return SANDBOX_ID.test(idOf(path))
      ? { kind: "damaged", path }
      : { kind: "leftover", path, content: undefined };
  }
}

/** Whether the keeper has a process that no journal names which can be read. */
function hasUnnamed(
  keeper: Pick<Keeper, "inventory">,
  whole: readonly { readonly content: JournalContent | undefined }[],
): boolean {
  const named = new Set<string>();
  for (const { content } of whole)
    for (const { resource } of content?.outstanding ?? [])
      if (resource.kind === "process") named.add(resource.id);
  return keeper
    .inventory()
    .processes.some(({ id, exit }) => exit === undefined && !named.has(id) && !isMaker(id));
}

/** The host may be short of something for a moment. */
export async function readPatiently<Text>(reading: () => Promise<Text>): Promise<Text> {
  for (let left = READS; ; left--) {
    try {
      return await reading();
    } catch (error) {
      if (left === 1 || !isForAWhile(error)) throw error;
      await sleep(BETWEEN_READS_MS);
    }
  }
}

/** As {@link readPatiently}, of one file. */
export function readOnePatiently(path: string): Promise<string> {
  return readPatiently(() => readJournalText(path));
}
