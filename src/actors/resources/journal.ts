/**
 * The journal of one sandbox: an append-only file of JSON lines that outlives the daemon.
 *
 * The intent for each host resource is written before the resource is made, its undo afterwards. Whatever a dead daemon
 * left is therefore among the intents without an undo. Facts for a later daemon and the sandbox's history go in as well.
 * One queue writes the lines in order; nothing here blocks the main loop. The journal need not survive the host.
 */
import { close, open, statfs, unlink, write, writeSync } from "node:fs";
import { dirname } from "node:path";
import { promisify } from "node:util";
import { BlazarError, blazarError, reasonOf } from "../../contracts/errors.ts";
import type { HistoryEntry } from "../../contracts/inspection.ts";
import type { FactName, Facts } from "./facts.ts";
import type { HostResource } from "./kinds/kinds.ts";

/** A line of the journal. `at` = milliseconds since the epoch. */
export type JournalEntry =
  | { readonly type: "opened"; readonly at: number; readonly sandboxId: string }
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

/** The journal as its sandbox uses it. */
export interface Journal {
  /** Writes the intent; resolves once it is in the file. */
  intend(resource: HostResource): Promise<number>;
  amend(ref: number, resource: HostResource): Promise<void>;
  undone(ref: number): Promise<void>;
  /** Remembers what a later daemon has to know; null forgets it. Not waited for. */
  fact<Name extends FactName>(name: Name, value: Facts[Name] | null): void;
  /** Remembers what has happened. Not waited for; the later ones of a long life are left out, see {@link FileJournal}. */
  history(entry: HistoryEntry): void;
  /** Resources intended and not undone, oldest first. */
  outstanding(): readonly Outstanding[];
  /** Closes the file and, if nothing is outstanding, removes it. */
  close(): Promise<void>;
}

// by number: each call of a FileHandle costs several times as much, and a start writes a dozen times
const openFile = promisify(open);
const closeFile = promisify(close);
const removeFile = promisify(unlink);
const writeFile = promisify(write);
const fileSystemOf = promisify(statfs);

/** statfs(2): file systems that are memory, where a write is a copy of microseconds and needs no thread. */
const IN_MEMORY: ReadonlySet<number> = new Set([0x0102_1994, 0x8584_58f6]);

/** By directory: asked once, as a start would wait for the answer. */
const directoriesInMemory = new Map<string, Promise<boolean>>();

function isInMemory(directory: string): Promise<boolean> {
  const known = directoriesInMemory.get(directory);
  if (known !== undefined) return known;
  const asked = fileSystemOf(directory).then(({ type }) => IN_MEMORY.has(type));
  directoriesInMemory.set(directory, asked);
  asked.catch(() => directoriesInMemory.delete(directory));
  return asked;
}

/** As many entries of the history are written whatever they are; later ones only if they are of the sandbox itself. */
const MOST_HISTORY = 4096;

/**
 * A journal in a file, 0600.
 *
 * A pod may live for years, and its probes alone are thousands of entries a day. So the file has all of its first entries,
 * and then those of the sandbox's own chart and of its VM's boot.
 */
export class FileJournal implements Journal {
  private historyLines = 0;
  private nextRef = 1;
  private readonly open = new Map<number, Omit<Outstanding, "ref">>();
  private queue: Promise<void> = Promise.resolve();
  /** The write that takes what is unwritten. */
  private next: Promise<void> | undefined;
  private readonly unwritten: string[] = [];
  private failed: unknown;

  private constructor(
    private readonly path: string,
    private readonly file: number,
    private readonly inMemory: boolean,
    private readonly now: () => number,
  ) {}

  /** Starts a new journal. Throws HostResource if the file exists already or cannot be made; then it leaves none. */
  static async create(path: string, sandboxId: string, now: () => number = Date.now): Promise<FileJournal> {
    try {
      const inMemory = await isInMemory(dirname(path));
      const journal = new FileJournal(path, await openFile(path, "ax", 0o600), inMemory, now);
      try {
        await journal.append({ type: "opened", at: now(), sandboxId });
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

  async intend(resource: HostResource): Promise<number> {
    const ref = this.nextRef++;
    const at = this.now();
    this.open.set(ref, { resource, since: at });
    try {
      await this.append({ type: "intent", at, ref, resource });
    } catch (error) {
      // nobody makes a resource whose intent could not be written
      this.open.delete(ref);
      throw error;
    }
    return ref;
  }

  async amend(ref: number, resource: HostResource): Promise<void> {
    const at = this.now();
    this.open.set(ref, { resource, since: this.open.get(ref)?.since ?? at });
    await this.append({ type: "amended", at, ref, resource });
  }

  async undone(ref: number): Promise<void> {
    if (!this.open.delete(ref)) return;
    await this.append({ type: "undone", at: this.now(), ref });
  }

  fact<Name extends FactName>(name: Name, value: Facts[Name] | null): void {
    this.append({ type: "fact", at: this.now(), name, value }).catch(() => undefined);
  }

  history(entry: HistoryEntry): void {
    const isOwn = entry.chart === "sandbox" || entry.chart === "boot";
    if (this.historyLines >= MOST_HISTORY && !isOwn) return;
    this.historyLines += 1;
    this.append({ type: "history", at: this.now(), entry }).catch(() => undefined);
  }

  outstanding(): Outstanding[] {
    return [...this.open].map(([ref, held]) => ({ ref, ...held }));
  }

  async close(): Promise<void> {
    await this.queue.catch(() => undefined);
    await closeFile(this.file);
    if (this.open.size === 0) await removeFile(this.path);
  }

  /** Lines that come while one write is under way go out together in the next. */
  private append(entry: JournalEntry): Promise<void> {
    this.unwritten.push(`${JSON.stringify(entry)}\n`);
    this.next ??= this.queue.then(() => this.flush());
    this.queue = this.next.catch(() => undefined);
    return this.next;
  }

  private async write(bytes: Uint8Array): Promise<void> {
    for (let rest = bytes; rest.length > 0; ) {
      const count = this.inMemory
        ? writeSync(this.file, rest)
        : (await writeFile(this.file, rest)).bytesWritten;
      rest = rest.subarray(count);
    }
  }

  private async flush(): Promise<void> {
    this.next = undefined;
    const lines = this.unwritten.splice(0).join("");
    try {
      if (this.failed !== undefined) throw this.failed;
      await this.write(Buffer.from(lines));
    } catch (error) {
      this.failed ??= error;
      throw blazarError("HostResource", "write the sandbox's journal", reasonOf(error), {
        subject: this.path,
        remedy: "check the space and the mode of the state directory",
        cause: error,
      });
    }
  }
}
