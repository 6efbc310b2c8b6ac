/**
 * Reads a journal, whatever state a crash has left it in: its lines may be anything.
 *
 * A torn last line is normal. An intent is waited for before its resource is made, so a torn one names nothing that
 * exists; a torn undo leaves its resource outstanding, and every undo may be repeated.
 */

import type { HistoryEntry } from "../../contracts/inspection.ts";
import { integer, isRecord, object, oneOf, string } from "../../protocol/wire/json.ts";
import type { JournalEntry, Outstanding } from "./journal.ts";
import { checkResource } from "./kinds/kinds.ts";

export interface JournalContent {
  readonly entries: readonly JournalEntry[];
  /** What is still to be undone, oldest first. */
  readonly outstanding: readonly Outstanding[];
  /** The facts that hold, by name; see facts.ts. */
  readonly facts: ReadonlyMap<string, unknown>;
  /** Whole lines that are no entries: whatever they name is not among the outstanding. */
  readonly unreadable: readonly string[];
}

/** Reads a journal's text. Never throws. */
export function readJournal(text: string): JournalContent {
  const entries: JournalEntry[] = [];
  const open = new Map<number, Omit<Outstanding, "ref">>();
  const facts = new Map<string, unknown>();
  const unreadable: string[] = [];
  const lines = text.split("\n");
  const torn = lines.pop();
  for (const line of lines) {
    if (line === "" || line.startsWith(OLD_TRANSITION)) continue;
    const entry = parseEntry(line);
    if (entry === undefined) unreadable.push(line);
    else take(entry, entries, open, facts);
  }
  const last = torn === undefined || torn === "" ? undefined : parseEntry(torn);
  if (last !== undefined) take(last, entries, open, facts);
  const outstanding = [...open].map(([ref, held]) => ({ ref, ...held }));
  return { entries, outstanding, facts, unreadable };
}

function take(
  entry: JournalEntry,
  entries: JournalEntry[],
  open: Map<number, Omit<Outstanding, "ref">>,
  facts: Map<string, unknown>,
): void {
  entries.push(entry);
  if (entry.type === "intent" || entry.type === "amended")
    open.set(entry.ref, { resource: entry.resource, since: open.get(entry.ref)?.since ?? entry.at });
  if (entry.type === "undone") open.delete(entry.ref);
  if (entry.type !== "fact") return;
  if (entry.value === null) facts.delete(entry.name);
  else facts.set(entry.name, entry.value);
}

const at = integer();
const ref = integer(1);

const CHECKS = {
  opened: object({ type: oneOf("opened"), at, sandboxId: string }),
  intent: object({ type: oneOf("intent"), at, ref, resource: checkResource }),
  amended: object({ type: oneOf("amended"), at, ref, resource: checkResource }),
  undone: object({ type: oneOf("undone"), at, ref }),
  fact: object({ type: oneOf("fact"), at, name: string, value: (value: unknown) => value }),
  history: object({ type: oneOf("history"), at, entry: historyEntry }),
} satisfies { readonly [Type in JournalEntry["type"]]: (value: unknown, path: string) => JournalEntry };

/** It names nothing on the host, so a recovery does not read it; observe/replay/ does. */
function historyEntry(value: unknown): HistoryEntry {
  return value as HistoryEntry;
}

/** How a line begins that an older daemon has written, and that says nothing of the host. */
const OLD_TRANSITION = '{"type":"transition",';

/** Undefined if the line is no entry. */
function parseEntry(line: string): JournalEntry | undefined {
  try {
    const value: unknown = JSON.parse(line);
    const type = isRecord(value) ? value["type"] : undefined;
    if (typeof type !== "string" || !Object.hasOwn(CHECKS, type)) return undefined;
    return CHECKS[type as keyof typeof CHECKS](value, "entry");
  } catch {
    return undefined;
  }
}
