/**
 * What a guest has reported while nobody listened: the last of it, within a bound, as a pod may live for years and its guest may
 * be hostile.
 */
import type { GuestEvent } from "./link.ts";

const MOST_EVENTS = 4096;
/** Characters of all of them together: an event may be as long as a frame. */
const MOST_CHARACTERS = 2 ** 20;
/** What one takes beside its texts. */
const EACH = 64;

export class UnheardEvents {
  private events: GuestEvent[] = [];
  private characters = 0;

  add(event: GuestEvent): void {
    this.events.push(event);
    this.characters += charactersOf(event);
    while (this.events.length > MOST_EVENTS || this.characters > MOST_CHARACTERS) {
      const oldest = this.events.shift();
      if (oldest === undefined) return;
      this.characters -= charactersOf(oldest);
    }
  }

  /** All that is kept, the oldest first; nothing is kept then. */
  take(): readonly GuestEvent[] {
    const { events } = this;
    this.events = [];
    this.characters = 0;
    return events;
  }
}

function charactersOf(event: GuestEvent): number {
  if (event.type === "lost") return EACH;
  if (event.type === "oomKilled") return EACH + event.id.length;
  const { id, execId, returned } = event.exit;
  const texts = returned.reduce((sum, { name, content }) => sum + EACH + name.length + content.length, 0);
  return EACH + id.length + execId.length + texts;
}
