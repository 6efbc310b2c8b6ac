/**
 * Reads server-sent events (WHATWG HTML, 9.2.6) out of pieces of text. Pure.
 *
 * fetch is used and not EventSource, which cannot send the header Authorization.
 */

export interface ServerEvent {
  /** `message` if it has no name. */
  readonly name: string;
  readonly data: string;
}

/** A line of the page's own server is shorter; more would be a fault. */
const MOST_WAITING = 16 << 20;

export class EventReader {
  private waiting = "";

  /** The events that are whole now. */
  read(text: string): ServerEvent[] {
    this.waiting += text;
    if (this.waiting.length > MOST_WAITING) throw new Error("an event has no end");
    const blocks = this.waiting.split("\n\n");
    this.waiting = blocks.pop() ?? "";
    return blocks.flatMap(eventOf);
  }
}

function eventOf(block: string): ServerEvent[] {
  let name = "message";
  const data: string[] = [];
  for (const line of block.split("\n")) {
    if (line.startsWith("event:")) name = line.slice("event:".length).trim();
    if (line.startsWith("data:")) data.push(line.slice("data:".length).trimStart());
  }
  return data.length === 0 ? [] : [{ name, data: data.join("\n") }];
}
