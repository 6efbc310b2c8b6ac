/**
 * The last lines of a text that comes in pieces: what a machine said before it ended, or when it should have been up.
 */
import { lastLines, TAIL_BYTES } from "../../src/vmm/common/last-words.ts";

export class LastLines {
  private text = "";

  add(chunk: Buffer): void {
    this.text = (this.text + chunk.toString("latin1")).slice(-TAIL_BYTES);
  }

  /** Harmless to a terminal. */
  last(count: number): string[] {
    return lastLines(this.text)
      .split("\n")
      .filter((line) => line !== "")
      .slice(-count);
  }
}
