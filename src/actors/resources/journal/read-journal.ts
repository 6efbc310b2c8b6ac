/**
 * Reads a journal, whatever state a crash has left it in: its lines may be anything.
 *
 * A torn last line is normal. An intent is waited for before its resource is made, so a torn one names nothing that
 * exists; a torn undo leaves its resource outstanding, and every undo may be repeated.
 */
import type { HistoryEntry } from "../../../contracts/inspection.ts";
import { isOfThePast, JOURNAL_VERSION, type JournalEntry, type Outstanding, parseEntry } from "./entries.ts";

export interface JournalContent {
  /** "" if no line says it. */
  readonly sandboxId: string;
  /** Of its format; undefined: of a daemon before there were versions. */
  readonly version: number | undefined;
  /** The host's boot that it was written in; undefined: it is not known. */
  readonly boot: string | undefined;
  /** What is still to be undone, oldest first. */
  readonly outstanding: readonly Outstanding[];
  /** The facts that hold, by name; see facts.ts. Whoever uses one checks it. */
  readonly facts: ReadonlyMap<string, unknown>;
  /** Whole lines that are no entries: whatever they name is not among the outstanding. */
  readonly unreadable: readonly string[];
  /** Lines that tell of the past, unread: {@link historyOf}. */
  readonly history: readonly string[];
  /** The highest number of a resource, those of unreadable lines included. */
  readonly lastRef: number;
  /** Lines that end. */
  readonly lines: number;
  /** Whether the file ends with a part of a line that says nothing. */
  readonly torn: boolean;
}

/** Where a journal comes from, as to what a daemon may conclude from it. */
export type JournalOrigin =
  /** Of this boot, or of one that is not known, and in a format that is known. */
  | "here"
  /** Of another boot: its processes, mounts, taps and control groups are gone. */
  | "another boot"
  /** In a later format: it may name what this daemon knows nothing of, so it is kept. */
  | "another version";

/** @param boot the host's boot now; undefined: it is not known */
export function originOf(
  content: Pick<JournalContent, "version" | "boot">,
  boot: string | undefined,
): JournalOrigin {
  if ((content.version ?? 0) > JOURNAL_VERSION) return "another version";
  return isOfAnotherBoot(content, boot) ? "another boot" : "here";
}

/** Whether the host was booted again since, as far as that is known. */
export function isOfAnotherBoot(content: Pick<JournalContent, "boot">, boot: string | undefined): boolean {
  return content.boot !== undefined && boot !== undefined && content.boot !== boot;
}

/** Reads a journal's text. Never throws. */
export function readJournal(text: string): JournalContent {
  const reader = new Reader();
  const lines = text.split("\n");
  const last = lines.pop() ?? "";
  for (const line of lines) reader.line(line);
  reader.last(last);
  return reader;
}

/** What has happened, as far as the lines can be read. */
export function historyOf({ history }: Pick<JournalContent, "history">): HistoryEntry[] {
  const entries = history.map(parseEntry);
  return entries.flatMap((entry) => (entry?.type === "history" ? [entry.entry] : []));
}

/** Numbers of resources in a line that cannot be read, for it may be read by another version. */
const REF = /"ref":(\d{1,15})\b/g;

class Reader implements JournalContent {
  sandboxId = "";
  version: number | undefined;
  boot: string | undefined;
  lastRef = 0;
  lines = 0;
  torn = false;
  readonly facts = new Map<string, unknown>();
  readonly unreadable: string[] = [];
  readonly history: string[] = [];
  private readonly open = new Map<number, Omit<Outstanding, "ref">>();

  get outstanding(): Outstanding[] {
    return [...this.open].map(([ref, held]) => ({ ref, ...held }));
  }

  line(line: string): void {
    this.lines += 1;
    if (line === "") return;
    if (isOfThePast(line)) {
      this.history.push(line);
      return;
    }
    const entry = parseEntry(line);
    if (entry !== undefined) this.take(entry);
    else {
      this.unreadable.push(line);
      for (const [, ref] of line.matchAll(REF)) this.lastRef = Math.max(this.lastRef, Number(ref));
    }
  }

  /** What comes after the last end of a line: a whole line without its end counts. */
  last(line: string): void {
    if (line === "") return;
    const entry = parseEntry(line);
    if (entry === undefined) this.torn = true;
    else if (entry.type === "history") this.history.push(line);
    else this.take(entry);
  }

  private take(entry: JournalEntry): void {
    switch (entry.type) {
      case "opened":
        this.sandboxId = entry.sandboxId;
        this.version = entry.version;
        this.boot = entry.boot;
        return;
      case "intent":
      case "amended": {
        const { ref, resource, at } = entry;
        this.open.set(ref, { resource, since: this.open.get(ref)?.since ?? at });
        this.lastRef = Math.max(this.lastRef, ref);
        return;
      }
      case "undone":
        this.open.delete(entry.ref);
        this.lastRef = Math.max(this.lastRef, entry.ref);
        return;
      case "fact":
        if (entry.value === null) this.facts.delete(entry.name);
        else this.facts.set(entry.name, entry.value);
        return;
      case "history":
        return;
    }
  }
}
