/**
 * A container's log file as kubelet reads it. A line is: time, stream, `F` or `P`, text (CRI's logging format).
 */
import { readFile } from "node:fs/promises";

export interface LogLine {
  readonly stream: string;
  readonly text: string;
}

/** The log as it is now; empty if there is no file yet. */
export async function readContainerLog(file: string): Promise<LogLine[]> {
  const content = await readFile(file, "utf8").catch(() => "");
  const lines = content.split("\n").filter((line) => line !== "");
  return lines.map((line) => {
    const [, stream = "", , ...words] = line.split(" ");
    return { stream, text: words.join(" ") };
  });
}
