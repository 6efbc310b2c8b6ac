/**
 * The last words of a guest and of its VMM, bounded and made harmless, for error messages.
 *
 * Both are written by somebody who may be hostile: control characters are taken out, and the log file is read
 * without following a link or waiting on a FIFO that was put in its place.
 */
import { constants } from "node:fs";
import { open } from "node:fs/promises";
import { CONSOLE_BYTES, CONSOLE_ID } from "./command-line.ts";
import type { QmpClient } from "./qmp/client.ts";

const TAIL_BYTES = 8 * 1024;
const TAIL_LINES = 40;
const READ_MS = 2000;

/** Keeps the end of a guest's console; reading QEMU's ring buffer empties it. */
export class ConsoleTail {
  private text = "";

  constructor(private readonly qmp: QmpClient) {}

  /** The end of the console: what is new of it, too, if QEMU still answers. */
  async read(): Promise<string> {
    const args = { device: CONSOLE_ID, size: CONSOLE_BYTES, format: "utf8" };
    const fresh = await this.qmp.execute("ringbuf-read", args, READ_MS).catch(() => "");
    if (typeof fresh === "string") this.text = (this.text + fresh).slice(-TAIL_BYTES);
    return lastLines(this.text);
  }
}

/** The end of what QEMU has written to its log; "" if there is no such file. */
export async function logTail(path: string): Promise<string> {
  const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
  const file = await open(path, flags).catch(() => undefined);
  if (file === undefined) return "";
  try {
    const stat = await file.stat();
    if (!stat.isFile()) return "";
    const buffer = Buffer.alloc(TAIL_BYTES);
    const { bytesRead } = await file.read(buffer, 0, TAIL_BYTES, Math.max(0, stat.size - TAIL_BYTES));
    return lastLines(buffer.toString("utf8", 0, bytesRead));
  } catch {
    return "";
  } finally {
    await file.close();
  }
}

/** True if a Linux kernel has panicked on this console. */
export function showsPanic(text: string): boolean {
  return text.includes("Kernel panic - not syncing");
}

function lastLines(text: string): string {
  const lines = printable(text)
    .split("\n")
    .filter((line) => line.trim() !== "");
  return lines.slice(-TAIL_LINES).join("\n");
}

/** What a terminal would obey. */
const ESCAPE_SEQUENCE = /(?![\n\t\r])\p{Cc}\[[0-9;?]*[ -/]*[@-~]/gu;

/** Without escape sequences and other control characters, but for line feeds and tabs. */
export function printable(text: string): string {
  return text.replaceAll(ESCAPE_SEQUENCE, "").replaceAll(/(?![\n\t])\p{Cc}/gu, "");
}
