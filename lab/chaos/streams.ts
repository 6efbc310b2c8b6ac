/**
 * Counters in streams: what a container writes has a number in each line, so that what is lost or doubled can be counted.
 *
 * A line is a number from 0 on, and a text that is always the same. Pure; where the lines come from is others' matter.
 */

/** Behind each number. It makes lines long enough to be cut in the middle. */
export const PAD = " the quick brown fox jumps over the lazy dog";

/** What became of a stream. */
export interface StreamCheck {
  readonly lines: number;
  /** Of the lines that are right. */
  readonly bytes: number;
  readonly lost: number;
  readonly doubled: number;
  /** The first few lines that are wrong, for people. */
  readonly wrong: readonly string[];
}

export interface Expected {
  /** How many lines there are in all; undefined: any number. */
  readonly count?: number | undefined;
  /** The last line may have been cut. */
  readonly cut?: boolean;
  /**
   * So often whoever reads the stream has died at most. He may have had the beginning of a line in his memory: whoever reads on
   * gets its rest only.
   */
  readonly readers?: number;
}

const MOST_WRONG = 5;

/** Holds lines to the counter. A line that is no number with its text counts as lost. */
export function checkLines(
  lines: readonly string[],
  { count, cut = false, readers = 0 }: Expected,
): StreamCheck {
  let torn = 0;
  const wrong: string[] = [];
  let next = 0;
  let [bytes, lost, doubled] = [0, 0, 0];
  const tell = (line: string) => {
    if (wrong.length < MOST_WRONG) wrong.push(`line ${next} is ${JSON.stringify(line.slice(0, 100))}`);
  };
  lines.forEach((line, index) => {
    if (line === `${next}${PAD}`) {
      bytes += line.length + 1;
      next++;
      return;
    }
    if (torn < readers && `${next}${PAD}`.endsWith(line)) {
      torn++;
      bytes += line.length + 1;
      next++;
      return;
    }
    if (cut && index === lines.length - 1 && `${next}${PAD}`.startsWith(line)) return;
    tell(line);
    const number = line.endsWith(PAD) ? Number(line.slice(0, -PAD.length)) : Number.NaN;
    if (!Number.isInteger(number)) lost++;
    else if (number < next) doubled++;
    else {
      lost += number - next;
      next = number + 1;
    }
  });
  if (count !== undefined && next !== count) {
    if (wrong.length < MOST_WRONG) wrong.push(`there are ${next} lines instead of ${count}`);
    if (next < count) lost += count - next;
    else doubled += next - count;
  }
  return { lines: lines.length, bytes, lost, doubled, wrong };
}

/** The first so many lines, each with its end. */
export function counted(count: number): string {
  return Array.from({ length: count }, (_, number) => `${number}${PAD}\n`).join("");
}

/** Whole lines of a text; what comes after the last line's end is not one. */
export function wholeLines(text: string): string[] {
  return text.split("\n").slice(0, -1);
}

/** The lines of each stream in a log of CRI's format: `time stream tag text`. A tag `P` is a line that goes on. */
export function linesOfLog(content: string): Readonly<Record<"stdout" | "stderr", string[]>> {
  const found = { stdout: [] as string[], stderr: [] as string[] };
  const begun = { stdout: "", stderr: "" };
  for (const line of wholeLines(content)) {
    const [, stream, tag, ...words] = line.split(" ");
    if (stream !== "stdout" && stream !== "stderr") continue;
    begun[stream] += words.join(" ");
    if (tag === "P") continue;
    found[stream].push(begun[stream]);
    begun[stream] = "";
  }
  for (const stream of ["stdout", "stderr"] as const)
    if (begun[stream] !== "") found[stream].push(begun[stream]);
  return found;
}
