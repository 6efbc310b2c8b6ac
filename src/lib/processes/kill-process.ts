/**
 * Ends a process of the keeper's, also if the keeper is dead or does not answer.
 *
 * The keeper is asked first, because it is the parent. If it does not answer soon, SIGKILL goes out from here, to exactly this
 * process: its start time is compared (see processes.ts). A process that SIGKILL has reached runs no instruction any more; when
 * it ends is told by its parent or by /proc.
 */
import { type BlazarError, blazarError } from "../../contracts/errors.ts";
import { pause, withDeadline, within } from "../async.ts";
import { SIGKILL } from "../signals.ts";
import { isAlive, type ProcessKey } from "./processes.ts";

/** What kills go through. */
export interface KillRoute {
  /** Has its parent send SIGKILL; may fail or take for ever. */
  readonly signal: () => Promise<unknown>;
  /** Settles when its parent tells that it has ended; may take for ever. */
  readonly ended: () => Promise<unknown>;
}

/** How long a keeper may take for a signal, before it is done without it. */
export const KEEPER_PATIENCE_MS = 300;
const POLL_MS = 50;

/** Sends SIGKILL and waits for the process's end, so many milliseconds. Throws DeadlineExceeded. */
export async function killProcess(
  subject: string,
  key: ProcessKey,
  route: KillRoute,
  deadlineMs: number,
): Promise<void> {
  await sendKill(key, route);
  const done = new AbortController();
  const gone = goneFromHost(key, done.signal);
  const ended = Promise.race([route.ended().catch(() => gone), gone]);
  try {
    await withDeadline(ended, deadlineMs, () => notEnded(subject, key, deadlineMs));
  } finally {
    done.abort();
  }
}

/** By the keeper if it answers soon, else from here. */
async function sendKill(key: ProcessKey, { signal }: KillRoute): Promise<void> {
  const sent = signal().then(
    () => true,
    () => false,
  );
  if ((await within(sent, KEEPER_PATIENCE_MS)) === true || !(await isAlive(key))) return;
  try {
    process.kill(key.pid, SIGKILL);
  } catch {
    // It has ended in between.
  }
}

/** Resolves when /proc says that it has ended, or at the abort. A zombie has ended. */
async function goneFromHost(key: ProcessKey, signal: AbortSignal): Promise<void> {
  // its parent tells sooner
  await pause(KEEPER_PATIENCE_MS, signal);
  while (!signal.aborted && (await isAlive(key))) await pause(POLL_MS, signal);
}

function notEnded(subject: string, { pid }: ProcessKey, deadlineMs: number): BlazarError {
  const reason = `pid ${pid} has not ended ${deadlineMs} ms after SIGKILL`;
  const remedy = "look for the process in state D: it waits for a device or a file system";
  return blazarError("DeadlineExceeded", "kill a process", reason, { subject, remedy });
}
