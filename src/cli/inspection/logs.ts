/**
 * `blazar logs`: what the VMM, the guest's console or the guest's agent has written.
 *
 * The text is made harmless; `--raw` passes the bytes on as they are.
 */
import { find } from "../../console/asked.ts";
import { followLog } from "../../console/follow-log.ts";
import { LogText } from "../../console/log-text.ts";
import { sizeOption } from "../../console/options.ts";
import type { LogName } from "../../contracts/inspection.ts";
import { misuse } from "../../contracts/misuse.ts";
import type { DaemonOptions } from "../daemon-socket.ts";
import { untilInterrupted, withDaemon } from "./session.ts";

export interface LogsOptions extends DaemonOptions {
  readonly vmm?: boolean;
  readonly console?: boolean;
  readonly agent?: boolean;
  readonly follow?: boolean;
  readonly tail?: string;
  readonly raw?: boolean;
}

const LOGS: readonly LogName[] = ["vmm", "console", "agent"];
const TAIL_BYTES = 64 * 1024;

/** Returns the exit code. */
export async function logs(word: string, options: LogsOptions): Promise<number> {
  const log = wantedLog(options);
  const tailBytes = sizeOption("--tail", options.tail, TAIL_BYTES);
  await withDaemon(options, async (daemon) => {
    const { id } = await find(daemon, word);
    const text = new LogText();
    const raw = options.raw === true;
    const view = { id, log, tailBytes, follow: options.follow === true };
    const show = (bytes: Uint8Array) => process.stdout.write(raw ? bytes : text.next(bytes));
    await followLog(daemon, view, show, untilInterrupted("what is written meanwhile is not shown"));
    if (!raw) process.stdout.write(text.end());
  });
  return 0;
}

function wantedLog(options: LogsOptions): LogName {
  const [log = "console", ...more] = LOGS.filter((name) => options[name] === true);
  if (more.length === 0) return log;
  const about = { subject: `--${more.join(" --")}` };
  throw misuse("one log is shown at a time", about);
}
