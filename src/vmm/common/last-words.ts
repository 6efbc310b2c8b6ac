/**
 * The last words of a guest and of its VMM, for error messages: bounded and made harmless.
 *
 * Both may be written by somebody hostile. Control characters are taken out, and a log file is read without following a
 * link and without waiting on a FIFO that was put in its place.
 */
import { constants } from "node:fs";
import { open } from "node:fs/promises";
import type { LogEnd } from "../../contracts/vm.ts";

/** What is kept of a text. */
export const TAIL_BYTES = 8 * 1024;
const TAIL_LINES = 40;

const NOTHING: LogEnd = { bytes: new Uint8Array(), written: 0 };

/** A sequence that a terminal would obey. */
const ESCAPE_SEQUENCE = /(?![\n\t\r])\p{Cc}\[[0-9;?]*[ -/]*[@-~]/gu;

/** The last lines of what a VMM has written to its log; "" if there is no such file. */
export async function logTail(path: string): Promise<string> {
  const { bytes } = await logEnd(path, TAIL_BYTES);
  return lastLines(new TextDecoder().decode(bytes));
}

/** The end of a VMM's log, as it is; nothing if there is no such file. */
export async function logEnd(path: string, most: number): Promise<LogEnd> {
  const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
  const file = await open(path, flags).catch(() => undefined);
  if (file === undefined) return NOTHING;
  try {
    const stat = await file.stat();
    if (!stat.isFile()) return NOTHING;
    const from = Math.max(0, stat.size - most);
    const { buffer, bytesRead } = await file.read(Buffer.alloc(most), 0, most, from);
    return { bytes: buffer.subarray(0, bytesRead), written: from + bytesRead };
  } catch {
    return NOTHING;
  } finally {
    await file.close();
  }
}

/** True if a Linux kernel has panicked on this console. */
export function showsPanic(text: string): boolean {
  return text.includes("Kernel panic - not syncing");
}

/** The last lines that are not empty, printable. */
export function lastLines(text: string): string {
  const lines = printable(text)
    .split("\n")
    .filter((line) => line.trim() !== "");
  return lines.slice(-TAIL_LINES).join("\n");
}

/** Without escape sequences and other control characters; line feeds and tabs stay. */
export function printable(text: string): string {
  return text.replaceAll(ESCAPE_SEQUENCE, "").replaceAll(/(?![\n\t])\p{Cc}/gu, "");
}
