/**
 * The journal of one sandbox: an append-only file of JSON lines that outlives the daemon.
 *
 * The intent for each host resource is written before the resource is made, its undo afterwards. Whatever a dead daemon
 * left is therefore among the intents without an undo. Facts for a later daemon and the sandbox's history go in as well.
 * One queue writes the lines in order; nothing here blocks the main loop. The journal need not survive the host.
 */
import { BlazarError, blazarError, reasonOf } from "../../../contracts/errors.ts";
import type { HistoryEntry } from "../../../contracts/inspection.ts";
import { monotonicNow } from "../../../lib/deadline-timer.ts";
import { bootId } from "../../../lib/processes/boot-id.ts";
import type { FactName, Facts } from "../facts.ts";
import type { HostResource } from "../kinds/kinds.ts";
import { compact, presentLines } from "./compaction.ts";
import { HISTORY, JOURNAL_VERSION, type JournalEntry, type Outstanding } from "./entries.ts";
import { JournalCopy } from "./journal-copy.ts";
import { JournalFile } from "./journal-file.ts";
import { keepAside } from "./kept-aside.ts";
import type { JournalContent } from "./read-journal.ts";

/** The journal as its sandbox uses it. */
export interface Journal {
  /** False: it has lines that cannot be read, so it may name more than it says. */
  readonly isComplete: boolean;
  /** Writes the intent; resolves once it is in the file. If it rejects, it is not in the file and must not be made. */
  intend(resource: HostResource): Promise<number>;
  /** If it rejects, the change is written as soon as something can be written again. */
  amend(ref: number, resource: HostResource): Promise<void>;
  /** The resource is gone. Never rejects: what cannot be written now is written later, and an undo may be repeated. */
  undone(ref: number): Promise<void>;
  /**
   * Remembers what a later daemon has to know; null forgets it. Resolves once it is in the file. A rejection that nobody
   * waits for does no harm, and the fact is written as soon as something can be written again.
   */
  fact<Name extends FactName>(name: Name, value: Facts[Name] | null): Promise<void>;
  /** Remembers what has happened. Not waited for; the later ones of a long life are left out, see {@link FileJournal}. */
  history(entry: HistoryEntry): void;
  /** Resources intended and not undone, oldest first. */
  outstanding(): readonly Outstanding[];
  /** Closes the file and, if nothing is outstanding, removes it. */
  close(): Promise<void>;
}

/** As many entries of the history are written whatever they are; later ones only if they are of the sandbox itself. */
const MOST_HISTORY = 4096;
/** What has happened waits so long for other lines. */
const HISTORY_MS = 20;
/** A longer journal is written anew, with what still says something. */
const MOST_BYTES = 1024 * 1024;
const MOST_LINES = 8192;
/** What could not be written is tried again after so long, unless something else is written before. */
const RETRY_MS = 5000;

/**
 * A journal in a file, 0600.
 *
 * A pod may live for years, and its probes alone are thousands of entries a day. So the file has all of its first entries,
 * and then those of the sandbox's own chart and of its VM's boot. A file that has grown long is written anew and renamed.
 */
export class FileJournal implements Journal {
  private historyLines = 0;
  private nextRef = 1;
  private readonly open = new Map<number, Omit<Outstanding, "ref">>();
  private queue: Promise<void> = Promise.resolve();
  /** The write that takes what is unwritten. */
  private next: Promise<void> | undefined;
  private unwritten: JournalEntry[] = [];
  /** What a failed write owes: resources whose last line is not in the file, and facts. */
  private readonly owedRefs = new Set<number>();
  private readonly owedFacts = new Map<string, unknown>();
  private retry: NodeJS.Timeout | undefined;
  private historyDue: NodeJS.Timeout | undefined;
  private closed = false;
  /** Lines that are kept as they are. */
  private unreadable: readonly string[] = [];
  private mostBytes = MOST_BYTES;
  private mostLines = MOST_LINES;
  private readonly copy: JournalCopy;
  /** Lines of the file that the copy has not got yet. */
  private uncopied: string[] = [];
  private copyTriedAt = Number.NEGATIVE_INFINITY;

  private constructor(
    private readonly file: JournalFile,
    private readonly now: () => number,
  ) {
    this.copy = new JournalCopy(file.path);
  }

  /** Starts a new journal. Throws HostResource if the file exists already or cannot be made; then it leaves none. */
  static async create(path: string, sandboxId: string, now: () => number = Date.now): Promise<FileJournal> {
    try {
      const boot = await bootId();
      const journal = new FileJournal(await JournalFile.create(path), now);
      try {
        await journal.append({ type: "opened", at: now(), sandboxId, version: JOURNAL_VERSION, boot });
      } catch (error) {
        await journal.close();
        throw error;
      }
      return journal;
    } catch (error) {
      throw BlazarError.wrap(error, "HostResource", {
        operation: "start the sandbox's journal",
        subject: path,
      });
    }
  }

  /**
   * Goes on with the journal of an earlier daemon. A torn last line is cut off; lines that cannot be read stay. If the host
   * cannot open the file now, the journal has a {@link trouble}, and is written as soon as that is over.
   * Throws HostResource if it is no regular file of this user.
   */
  static async reopen(
    path: string,
    content: JournalContent,
    now: () => number = Date.now,
  ): Promise<FileJournal> {
    try {
      const journal = new FileJournal(await JournalFile.reopen(path, content.lines, content.torn), now);
      journal.nextRef = content.lastRef + 1;
      journal.historyLines = content.history.length;
      journal.unreadable = content.unreadable;
      for (const { ref, ...held } of content.outstanding) journal.open.set(ref, held);
      return journal;
    } catch (error) {
      throw BlazarError.wrap(error, "HostResource", {
        operation: "go on with a sandbox's journal",
        subject: path,
      });
    }
  }

  async intend(resource: HostResource): Promise<number> {
    const ref = this.nextRef++;
    const at = this.now();
    this.open.set(ref, { resource, since: at });
    await this.append({ type: "intent", at, ref, resource });
    return ref;
  }

  async amend(ref: number, resource: HostResource): Promise<void> {
    const at = this.now();
    this.open.set(ref, { resource, since: this.open.get(ref)?.since ?? at });
    await this.append({ type: "amended", at, ref, resource });
  }

  async undone(ref: number): Promise<void> {
    if (!this.open.delete(ref)) return;
    await this.append({ type: "undone", at: this.now(), ref }).catch(() => undefined);
  }

  fact<Name extends FactName>(name: Name, value: Facts[Name] | null): Promise<void> {
    const written = this.append({ type: "fact", at: this.now(), name, value });
    written.catch(() => undefined);
    return written;
  }

  history(entry: HistoryEntry): void {
    const isOwn = entry.chart === "sandbox" || entry.chart === "boot";
    if (this.historyLines >= MOST_HISTORY && !isOwn) return;
    this.historyLines += 1;
    if (this.closed) return;
    this.unwritten.push({ type: "history", at: this.now(), entry });
    // with whatever is written next: a line is soon made, and a write takes as long as several
    this.historyDue ??= setTimeout(() => this.soon().catch(() => undefined), HISTORY_MS);
  }

  /** Why an earlier daemon's file could not be opened yet. */
  get trouble(): unknown {
    return this.file.trouble;
  }

  get isComplete(): boolean {
    return this.unreadable.length === 0;
  }

  outstanding(): Outstanding[] {
    return [...this.open].map(([ref, held]) => ({ ref, ...held }));
  }

  async close(): Promise<void> {
    this.closed = true;
    clearTimeout(this.retry);
    if (this.unwritten.length > 0) this.soon().catch(() => undefined);
    await this.queue;
    if (this.owes && this.open.size > 0) await this.flush().catch(() => undefined);
    await this.file.close();
    if (this.open.size > 0) return await this.copy.close();
    await this.copy.remove();
    if (this.unreadable.length > 0) await keepAside(this.file.path);
    else await this.file.remove();
  }

  private get owes(): boolean {
    return this.owedRefs.size > 0 || this.owedFacts.size > 0;
  }

  /** Lines that come while one write is under way go out together in the next. */
  private append(entry: JournalEntry): Promise<void> {
    if (this.closed) return Promise.reject(this.failure("it is closed"));
    this.unwritten.push(entry);
    return this.soon();
  }

  private soon(): Promise<void> {
    this.next ??= this.queue.then(() => this.flush());
    this.queue = this.next.catch(() => undefined).then(() => this.tendCopy());
    return this.next;
  }

  private async flush(): Promise<void> {
    this.next = undefined;
    clearTimeout(this.historyDue);
    this.historyDue = undefined;
    const entries = this.unwritten;
    this.unwritten = [];
    const owed = this.owed();
    const lines = [...owed, ...entries].map((entry) => `${JSON.stringify(entry)}\n`);
    try {
      await this.file.append(lines);
    } catch (error) {
      for (const entry of entries) this.owe(entry);
      this.retryLater();
      throw this.failure(reasonOf(error), error);
    }
    this.owedRefs.clear();
    this.owedFacts.clear();
    this.uncopied.push(...lines.filter((line) => !line.startsWith(HISTORY)));
    if (this.file.bytes > this.mostBytes || this.file.lines > this.mostLines) await this.compact();
  }

  private failure(reason: string, cause?: unknown): BlazarError {
    const { path: subject } = this.file;
    const remedy = "check the space and the mode of the state directory";
    return blazarError("HostResource", "write the sandbox's journal", reason, { subject, remedy, cause });
  }

  /** What was not written before, as it is now. */
  private owed(): JournalEntry[] {
    const at = this.now();
    const resources = [...this.owedRefs].map((ref): JournalEntry => {
      const held = this.open.get(ref);
      return held === undefined
        ? { type: "undone", at, ref }
        : { type: "amended", at: held.since, ref, resource: held.resource };
    });
    const facts = [...this.owedFacts].map(([name, value]) => ({ type: "fact" as const, at, name, value }));
    return [...resources, ...facts];
  }

  private owe(entry: JournalEntry): void {
    // nobody makes a resource whose intent could not be written, though a part of the write may be in the file
    if (entry.type === "intent") this.open.delete(entry.ref);
    if (entry.type === "intent" || entry.type === "amended" || entry.type === "undone")
      this.owedRefs.add(entry.ref);
    if (entry.type === "fact") this.owedFacts.set(entry.name, entry.value);
  }

  private retryLater(): void {
    if (this.closed || !this.owes) return;
    this.retry ??= setTimeout(() => {
      this.retry = undefined;
      if (this.owes) this.soon().catch(() => undefined);
    }, RETRY_MS).unref();
  }

  /** Within a write, so that no line comes in between. If it fails, the file stays, until it is twice as long. */
  private async compact(): Promise<void> {
    try {
      const { lines, present, history } = await compact(
        await this.file.text(),
        this.outstanding(),
        this.unreadable,
      );
      await this.file.replace(lines);
      this.historyLines = history;
      await this.renewCopy(present);
    } catch {
      // it only takes space
    }
    this.mostBytes = Math.max(MOST_BYTES, 2 * this.file.bytes);
    this.mostLines = Math.max(MOST_LINES, 2 * this.file.lines);
  }

  /** Nobody waits for it but the next write. Never rejects. */
  private async tendCopy(): Promise<void> {
    const { copy, uncopied } = this;
    if (uncopied.length === 0) return;
    this.uncopied = [];
    if (!copy.isBehind) return await copy.add(uncopied);
    const now = monotonicNow();
    if (now - this.copyTriedAt < RETRY_MS) return;
    this.copyTriedAt = now;
    await this.file
      .text()
      .then((text) => this.renewCopy(presentLines(text)))
      .catch(() => undefined);
  }

  private async renewCopy(present: readonly string[]): Promise<void> {
    this.uncopied = [];
    await this.copy.renew(present);
  }
}
