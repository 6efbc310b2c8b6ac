/**
 * Tells when a name appears or disappears in a directory: inotify(7), one watcher for each directory, however many names.
 *
 * A directory that cannot be watched is told in the log, and nothing is told of it.
 */
import { type FSWatcher, watch } from "node:fs";
import { basename, dirname } from "node:path";
import type { Logger } from "../../contracts/logger.ts";

interface Watched {
  readonly watcher: FSWatcher;
  readonly listeners: Map<string, Set<() => void>>;
}

export class Directories {
  private readonly watched = new Map<string, Watched>();

  constructor(private readonly logger: Logger) {}

  /** Returns how to end it. */
  watch(path: string, listener: () => void): () => void {
    const [directory, name] = [dirname(path), basename(path)];
    const watched = this.watched.get(directory) ?? this.open(directory);
    if (watched === undefined) return () => undefined;
    const listeners = watched.listeners.get(name) ?? new Set();
    watched.listeners.set(name, listeners.add(listener));
    return () => {
      listeners.delete(listener);
      if (listeners.size === 0 && watched.listeners.get(name) === listeners) watched.listeners.delete(name);
      if (watched.listeners.size === 0) this.close(directory, watched);
    };
  }

  private open(directory: string): Watched | undefined {
    try {
      const watcher = watch(directory, { persistent: false });
      const watched: Watched = { watcher, listeners: new Map() };
      watcher.on("change", (_, name) => this.changed(watched, name === null ? undefined : String(name)));
      watcher.on("error", (error) => {
        this.failed(directory, error);
        this.close(directory, watched);
      });
      this.watched.set(directory, watched);
      return watched;
    } catch (error) {
      this.failed(directory, error);
      return undefined;
    }
  }

  /** @param name of what has changed; a name that nobody waits for may be the directory's own */
  private changed({ listeners }: Watched, name: string | undefined): void {
    if (name !== undefined && listeners.has(name))
      for (const listener of listeners.get(name) ?? []) listener();
    else if (name === undefined) for (const set of listeners.values()) for (const listener of set) listener();
  }

  private failed(directory: string, error: unknown): void {
    this.logger.warn({ err: error, directory }, "a directory of network namespaces cannot be watched");
  }

  private close(directory: string, watched: Watched): void {
    watched.watcher.close();
    if (this.watched.get(directory) === watched) this.watched.delete(directory);
  }
}
