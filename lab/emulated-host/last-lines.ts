/**
 * The last lines of a text that comes in pieces: what a machine said before it ended, or when it should have been up.
 */
import { harmless } from "../../src/lib/harmless.ts";

const KEPT_CHARACTERS = 8192;

export class LastLines {
  private text = "";

  add(chunk: Buffer): void {
    this.text = (this.text + chunk.toString("latin1")).slice(-KEPT_CHARACTERS);
  }

  last(count: number): string[] {
    const lines = this.text.split(/[\r\n]+/).filter((line) => line.trim() !== "");
    return lines.slice(-count).map((line) => harmless(line));
  }
}
