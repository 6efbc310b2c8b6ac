/** A log as lines: the last ones, each cut to what can be shown. Pure. */

const MOST_LINES = 5_000;
const MOST_CHARACTERS = 4_000;

export class LogLines {
  private lines: readonly string[] = [];
  private open = "";

  /** All lines, with what has come. The last one may not be whole. */
  add(text: string): readonly string[] {
    const pieces = (this.open + text).split(/\r\n|\n/);
    this.open = (pieces.pop() ?? "").slice(-MOST_CHARACTERS);
    const whole = pieces.map((line) => line.slice(0, MOST_CHARACTERS));
    this.lines = [...this.lines, ...whole].slice(-MOST_LINES);
    return this.open === "" ? this.lines : [...this.lines, this.open];
  }
}
