/**
 * A log as text that is harmless: pieces of bytes may break anywhere, in a letter or between a line's last two characters.
 */
import { harmless } from "../lib/harmless.ts";

const ALL = { lines: true, most: Number.POSITIVE_INFINITY } as const;

export class LogText {
  private readonly decoder = new TextDecoder("utf-8");
  /** A carriage return that may belong to a newline. */
  private held = "";

  next(bytes: Uint8Array): string {
    const text = this.held + this.decoder.decode(bytes, { stream: true });
    this.held = text.endsWith("\r") ? "\r" : "";
    return harmless(text.slice(0, text.length - this.held.length), ALL);
  }

  end(): string {
    return harmless(this.held + this.decoder.decode(), ALL);
  }
}
