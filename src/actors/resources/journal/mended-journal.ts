/**
 * A journal that was damaged is mended by its copy before anybody concludes something from it.
 *
 * It is whole if it is its sandbox's own and has every line that its copy has. Otherwise the copy's lines count, and after
 * them what the journal has beyond the last line that both have. The damaged file is kept beside it until its end.
 * Must not undo anything.
 */
import { readdir, rename, rm } from "node:fs/promises";
import { basename, join } from "node:path";
import { isOfThePast, parseEntry } from "./entries.ts";
import { COPIES, copyPath, DAMAGED } from "./journal-copy.ts";
import { JournalFile } from "./journal-file.ts";
import { readJournalText } from "./journal-text.ts";

export const JOURNAL_SUFFIX = ".jsonl";

/** The id of the sandbox or warm VM whose journal it is. */
export function idOf(journal: string): string {
  return basename(journal, JOURNAL_SUFFIX);
}

/** Paths of all journals, those that are gone and have left a copy included. */
export async function journalsIn(directory: string): Promise<string[]> {
  const own = await readdir(directory);
  const copies = await readdir(join(directory, COPIES)).catch(() => []);
  const names = new Set([...own, ...copies].filter((name) => name.endsWith(JOURNAL_SUFFIX)));
  return [...names].map((name) => join(directory, name));
}

/**
 * The text of a journal, mended if it has to be; the file stays as it is. Throws what the host says of the journal's file,
 * unless its copy has all.
 */
export async function readMended(
  path: string,
): Promise<{ readonly text: string; readonly isMended: boolean }> {
  const copy = copiedLines(idOf(path), await readJournalText(copyPath(path)).catch(() => ""));
  if (copy.length === 0) return { text: await readJournalText(path), isMended: false };
  const text = await readJournalText(path).catch((error: unknown) => {
    if (isUnusable(error)) return "";
    throw error;
  });
  const mended = mend(idOf(path), text, copy);
  return mended === undefined ? { text, isMended: false } : { text: mended, isMended: true };
}

/** Puts the mended text in the place of the damaged file. Throws what the host says; then nothing has changed. */
export async function replaceDamaged(path: string, text: string): Promise<void> {
  await rm(`${path}${DAMAGED}`, { recursive: true, force: true });
  await rename(path, `${path}${DAMAGED}`).catch((error: unknown) => {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
  });
  const file = JournalFile.unopened(path);
  await file.replace([text]);
  await file.close();
}

/** Removes a journal with its copy and what was damaged of it. The copy first: alone it would be taken for a lost journal's. */
export async function removeJournal(path: string): Promise<void> {
  await removeCopy(path);
  await rm(`${path}${DAMAGED}`, { recursive: true, force: true });
  await rm(path, { force: true });
}

/** Of a journal that is removed, or kept aside. */
export function removeCopy(path: string): Promise<void> {
  return rm(copyPath(path), { force: true });
}

/** It is gone, or somebody has put something else there. */
function isUnusable(error: unknown): boolean {
  const { code } = error as NodeJS.ErrnoException;
  return code === "ENOENT" || code === "HostResource";
}

/** Lines of a copy that can be read; none if it is another one's. */
function copiedLines(id: string, text: string): string[] {
  const lines = text.split("\n").filter((line) => parseEntry(line) !== undefined);
  return openedId(lines[0] ?? "") === id ? lines : [];
}

/** Undefined: the text is whole. */
function mend(id: string, text: string, copy: readonly string[]): string | undefined {
  const lines = text.split("\n");
  const all = new Set(lines);
  const isWhole = copy.every((line) => all.has(line)) && isOneJournal(lines);
  if (isWhole) return undefined;
  if (lines.some((line) => isOpening(line) && openedId(line) !== id)) return joined(copy);
  const copied = new Set(copy);
  const last = lines.findLastIndex((line) => copied.has(line));
  const isEntry = (line: string) => parseEntry(line) !== undefined;
  const past = lines.slice(0, last + 1).filter((line) => isOfThePast(line) && isEntry(line));
  const later = last < 0 ? [] : lines.slice(last + 1).filter(isEntry);
  return joined([...copy, ...past, ...(later.some(isOpening) ? [] : later)]);
}

function joined(lines: readonly string[]): string {
  return lines.map((line) => `${line}\n`).join("");
}

/** Not two that were put together, nor one twice. */
function isOneJournal(lines: readonly string[]): boolean {
  return lines.filter(isOpening).length === 1;
}

function isOpening(line: string): boolean {
  return line.startsWith('{"type":"opened",');
}

function openedId(line: string): string | undefined {
  const entry = parseEntry(line);
  return entry?.type === "opened" ? entry.sandboxId : undefined;
}
