/**
 * Templates that a driver has ready for cloning: checked once, loaded once, kept until they are forgotten.
 *
 * What is forgotten while launches still use it is closed after the last of them. It does not know where templates are
 * kept, nor what a driver loads of them.
 */
import { abortable } from "../../../lib/async.ts";
import { templatePaths } from "./files.ts";
import { fileStamp } from "./fingerprints.ts";

/** Of a template, what clones are made of. */
export interface Loaded {
  close(): Promise<void>;
}

interface Entry<L extends Loaded> {
  /** Of the manifest. */
  readonly stamp: string;
  readonly loaded: Promise<L>;
  /** Launches under way. */
  users: number;
  forgotten: boolean;
}

export class LoadedTemplates<L extends Loaded> {
  private readonly entries = new Map<string, Entry<L>>();

  /** `load` checks the template in a directory and loads it. */
  constructor(private readonly load: (directory: string) => Promise<L>) {}

  /** Runs `work` on a template, which stays loaded meanwhile. Throws what loading throws, and Cancelled. */
  async use<T>(
    directory: string,
    signal: AbortSignal | undefined,
    work: (loaded: L) => Promise<T>,
  ): Promise<T> {
    const entry = await this.acquire(directory);
    try {
      const what = { operation: "load a template", subject: directory };
      return await work(await abortable(entry.loaded, signal, what));
    } finally {
      entry.users--;
      await this.closeIfUnused(entry);
    }
  }

  async forget(directory: string): Promise<void> {
    const entry = this.entries.get(directory);
    if (entry === undefined) return;
    this.entries.delete(directory);
    entry.forgotten = true;
    await this.closeIfUnused(entry);
  }

  private async acquire(directory: string): Promise<Entry<L>> {
    // Another template may have taken the place of the one that was loaded.
    const stamp = await fileStamp(templatePaths(directory).manifest).catch(() => "");
    const known = this.entries.get(directory);
    if (known?.stamp === stamp) {
      known.users++;
      return known;
    }
    const entry: Entry<L> = { stamp, loaded: this.load(directory), users: 1, forgotten: false };
    if (known !== undefined) void this.forget(directory).catch(() => undefined);
    this.entries.set(directory, entry);
    entry.loaded.catch(() => {
      if (this.entries.get(directory) === entry) this.entries.delete(directory);
    });
    return entry;
  }

  private async closeIfUnused(entry: Entry<L>): Promise<void> {
    if (!entry.forgotten || entry.users > 0) return;
    const loaded = await entry.loaded.catch(() => undefined);
    await loaded?.close();
  }
}
