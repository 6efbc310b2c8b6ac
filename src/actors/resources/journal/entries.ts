/**
 * The lines of a journal: what each says, and how it is read.
 *
 * A line is one JSON object. What a line says of the host is checked; what it says of the past is not.
 */
import type { HistoryEntry } from "../../../contracts/inspection.ts";
import { integer, isRecord, object, oneOf, optional, string } from "../../../protocol/wire/json.ts";
import { checkResource, type HostResource } from "../kinds/kinds.ts";

/** Of the format. A reader that knows another one reads what it can, and keeps the file. */
export const JOURNAL_VERSION = 1;

/** A line of the journal. `at` = milliseconds since the epoch. */
export type JournalEntry =
  | {
      readonly type: "opened";
      readonly at: number;
      readonly sandboxId: string;
      /** {@link JOURNAL_VERSION}; undefined: of a daemon before there were versions. */
      readonly version?: number | undefined;
      /** The host's boot: /proc/sys/kernel/random/boot_id. Undefined: it is not known. */
      readonly boot?: string | undefined;
    }
  | { readonly type: "intent"; readonly at: number; readonly ref: number; readonly resource: HostResource }
  | { readonly type: "amended"; readonly at: number; readonly ref: number; readonly resource: HostResource }
  | { readonly type: "undone"; readonly at: number; readonly ref: number }
  | { readonly type: "fact"; readonly at: number; readonly name: string; readonly value: unknown }
  /** Something that has happened, once it has ended. */
  | { readonly type: "history"; readonly at: number; readonly entry: HistoryEntry };

/** A resource that has an intent and no undo. */
export interface Outstanding {
  readonly ref: number;
  readonly resource: HostResource;
  /** When it was intended, milliseconds since the epoch. */
  readonly since: number;
}

/** How a line begins that tells of the past. */
export const HISTORY = '{"type":"history",';
/** How a line begins that an older daemon has written, and that says nothing of the host. */
const OLD_TRANSITION = '{"type":"transition",';

/** Whether a line says nothing of the host. Such a line need not be read to know what there is. */
export function isOfThePast(line: string): boolean {
  return (line.startsWith(HISTORY) && line.endsWith("}")) || line.startsWith(OLD_TRANSITION);
}

const at = integer();
const ref = integer(1);

const CHECKS = {
  opened: object({
    ...{ type: oneOf("opened"), at, sandboxId: string },
    version: optional(integer()),
    boot: optional(string),
  }),
  intent: object({ type: oneOf("intent"), at, ref, resource: checkResource }),
  amended: object({ type: oneOf("amended"), at, ref, resource: checkResource }),
  undone: object({ type: oneOf("undone"), at, ref }),
  fact: object({ type: oneOf("fact"), at, name: string, value: (value: unknown) => value }),
  history: object({ type: oneOf("history"), at, entry: historyEntry }),
} satisfies { readonly [Type in JournalEntry["type"]]: (value: unknown, path: string) => JournalEntry };

/** Who shows it checks the rest of it; see observe/replay/. */
function historyEntry(value: unknown, path: string): HistoryEntry {
  object({ id: integer(), kind: string, name: string })(value, path);
  return value as HistoryEntry;
}

/** Undefined if the line is no entry. */
export function parseEntry(line: string): JournalEntry | undefined {
  try {
    const value: unknown = JSON.parse(line);
    const type = isRecord(value) ? value["type"] : undefined;
    if (typeof type !== "string" || !Object.hasOwn(CHECKS, type)) return undefined;
    return CHECKS[type as keyof typeof CHECKS](value, "entry");
  } catch {
    return undefined;
  }
}
