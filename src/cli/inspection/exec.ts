/**
 * `blazar exec`: a process in the guest itself. The exit code is its own.
 */
import { find } from "../../console/asked.ts";
import { exec as run } from "../../console/exec/exec.ts";
import { misuse } from "../../contracts/misuse.ts";
import type { DaemonOptions } from "../daemon-socket.ts";
import { withDaemon } from "./session.ts";

export interface ExecOptions extends DaemonOptions {
  readonly interactive?: boolean;
  readonly tty?: boolean;
}

/** Returns the exit code. */
export async function exec(word: string, words: readonly string[], options: ExecOptions): Promise<number> {
  // commander hands it over, because an argument comes before it
  const command = words[0] === "--" ? words.slice(1) : words;
  const terminal = options.tty === true;
  // a shell without input would end at once
  const interactive = options.interactive === true || command.length === 0;
  if (terminal && interactive && !process.stdin.isTTY) {
    const about = { subject: "--tty", remedy: "leave it out, or call it from a terminal" };
    throw misuse("standard input is no terminal", about);
  }
  return await withDaemon(options, async (daemon) => {
    const { id } = await find(daemon, word);
    return await run(daemon, { id, command, interactive, terminal }, process);
  });
}
