/**
 * The networks that the keeper watches for the daemon.
 *
 * The keeper forgets them with the daemon's connection, so they are asked for again when it is back, and count as changed.
 */
import type { Logger } from "../../contracts/logger.ts";
import type { KeeperRequests } from "./requests.ts";

interface Watched {
  readonly path: string;
  readonly onChanged: () => void;
}

export class KeeperNetworks {
  private readonly watched = new Map<string, Watched>();

  constructor(
    private readonly requests: KeeperRequests,
    private readonly log: Logger,
  ) {}

  async watch(id: string, path: string, onChanged: () => void): Promise<void> {
    const watched = { path, onChanged };
    this.watched.set(id, watched);
    try {
      await this.requests.send("network.watch", { id, path }, id);
    } catch (error) {
      if (this.watched.get(id) === watched) this.watched.delete(id);
      throw error;
    }
  }

  async unwatch(id: string): Promise<void> {
    if (this.watched.delete(id)) await this.requests.send("network.unwatch", { id }, id);
  }

  changed(id: string): void {
    this.watched.get(id)?.onChanged();
  }

  /** The keeper is reachable again. */
  attached(): void {
    for (const [id, watched] of this.watched) {
      this.watch(id, watched.path, watched.onChanged)
        .catch((error: unknown) => this.log.debug({ err: error, id }, "a network is no longer watched"))
        .finally(watched.onChanged);
    }
  }

  clear(): void {
    this.watched.clear();
  }
}
