/**
 * What a guest reports by itself, and what of it is kept while nobody listens.
 */
import type { BlazarError } from "../../contracts/errors.ts";
import type { ProcessExited } from "../../protocol/guest/messages.ts";

/** What a guest reports by itself. `lost` is the last event. */
export type GuestEvent =
  | { readonly type: "processExited"; readonly exit: ProcessExited }
  /** The guest's kernel has killed processes of the container for want of memory. */
  | { readonly type: "oomKilled"; readonly id: string }
  | { readonly type: "lost"; readonly error: BlazarError };

const MOST_EVENTS = 4096;
/** Characters of all of them together: an event may be as long as a frame. */
const MOST_CHARACTERS = 2 ** 20;
/** What one takes beside its texts. */
const EACH = 64;

/** The last of them, within a bound, as a pod may live for years and its guest may be hostile. */
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
