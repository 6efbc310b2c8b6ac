/**
 * The lines of a long journal that still say something: a pod may live for years, and its probes come and go.
 *
 * Kept are what is outstanding, the facts that hold, lines that nobody can read, and the first and the latest history.
 * Pure but for its pauses: it goes through a long text in parts, so that the main loop is never held up.
 */
import { setImmediate } from "node:timers/promises";
import { isOfThePast, type JournalEntry, type Outstanding, parseEntry } from "./entries.ts";

/** Lines of history that are kept: how the pod came to be, and what has happened lately. */
export const FIRST_HISTORY = 512;
export const LATEST_HISTORY = 1024;

/** Lines that are read at a time: less than a millisecond. */
const PART = 128;

export interface Compacted {
  readonly lines: readonly string[];
  /** Those of them that say what there is. */
  readonly present: readonly string[];
  readonly history: number;
}

/**
 * @param text of the journal
 * @param outstanding what is outstanding now; the text may lag behind
 * @param unreadable lines that are kept as they are
 */
export async function compact(
  text: string,
  outstanding: readonly Outstanding[],
  unreadable: readonly string[],
): Promise<Compacted> {
  const facts = new Map<string, string>();
  const history: string[] = [];
  const opened: string[] = [];
  const lines = text.split("\n");
  for (const [index, line] of lines.entries()) {
    if (index % PART === PART - 1) await setImmediate();
    if (isOfThePast(line)) history.push(line);
    else if (line.startsWith('{"type":"fact",')) takeFact(line, facts);
    else if (line.startsWith('{"type":"opened",')) opened.push(line);
  }
  const kept =
    history.length > FIRST_HISTORY + LATEST_HISTORY
      ? [...history.slice(0, FIRST_HISTORY), ...history.slice(-LATEST_HISTORY)]
      : history;
  const intents = outstanding.map(({ ref, resource, since: at }) => {
    const entry: JournalEntry = { type: "intent", at, ref, resource };
    return JSON.stringify(entry);
  });
  const present = [...intents, ...facts.values()];
  return {
    lines: [...opened, ...unreadable, ...present, ...kept].map(ended),
    present: [...opened, ...present].map(ended),
    history: kept.length,
  };
}

/** Lines of a journal's text that do not tell of the past, as they are. */
export function presentLines(text: string): string[] {
  const lines = text.split("\n").filter((line) => line !== "" && !isOfThePast(line));
  return lines.map(ended);
}

function ended(line: string): string {
  return `${line}\n`;
}

function takeFact(line: string, facts: Map<string, string>): void {
  const entry = parseEntry(line);
  if (entry?.type !== "fact") return;
  if (entry.value === null) facts.delete(entry.name);
  else facts.set(entry.name, line);
}
