/**
 * containerd's requests on their way to the daemon, no faster than the daemon takes them.
 *
 * After a daemon's death everything without an answer is sent again. All of it at once could be more than the link may queue,
 * which would end the link, and so each time. What waits here is no copy.
 */

/** Bytes that may be on the link before the next request waits. */
const MOST_ON_LINK_BYTES = 1024 * 1024;

export interface OutboxOptions {
  /** Bytes that the link has not sent yet; undefined while there is no daemon. */
  readonly queued: () => number | undefined;
  /** Puts an encoded request on the link. */
  readonly send: (frame: Uint8Array) => void;
}

export interface Outgoing {
  readonly frame: Uint8Array;
  /** False once nobody waits for its answer. */
  readonly isWanted: () => boolean;
}

export class TaskOutbox {
  private waiting: Outgoing[] = [];
  private next = 0;
  private pumping = false;

  constructor(private readonly options: OutboxOptions) {}

  /** Sends it after all that waits. Without a daemon it is dropped: the next one asks for everything. */
  add(outgoing: Outgoing): void {
    if (this.options.queued() === undefined) return;
    this.waiting.push(outgoing);
    this.pump();
  }

  /** Another daemon is there: what waited for the one before is sent anew by whoever holds it. */
  clear(): void {
    this.waiting = [];
    this.next = 0;
  }

  /** The link has sent something, perhaps what is put on it here. */
  pump(): void {
    if (this.pumping) return;
    this.pumping = true;
    this.sendOn();
    this.pumping = false;
  }

  private sendOn(): void {
    for (;;) {
      const outgoing = this.waiting[this.next];
      if (outgoing === undefined) return this.clear();
      const queued = this.options.queued();
      if (queued === undefined || queued >= MOST_ON_LINK_BYTES) return;
      this.next++;
      if (outgoing.isWanted()) this.options.send(outgoing.frame);
    }
  }
}
