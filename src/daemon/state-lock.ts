/**
 * One daemon a state directory: whoever comes second is refused before it touches anything.
 *
 * A second daemon would take the journals of the first for those of a dead one, and undo what its pods hold. The lock is the
 * kernel's and ends with the process, so nothing stale can keep a daemon from starting.
 */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { blazarError } from "../contracts/errors.ts";
import { type FileLock, tryLock } from "../host/file-lock.ts";

/** Keep what is returned for as long as the daemon lives. Throws DaemonRunning, naming the process. */
export async function lockState(directory: string): Promise<FileLock> {
  const path = join(directory, "daemon.lock");
  const held = await tryLock(path, new AbortController().signal);
  if (held === undefined) {
    const pid = (await readFile(path, "utf8").catch(() => "")).trim();
    const who = /^\d+$/.test(pid) ? `process ${pid}` : "another blazard";
    throw blazarError("DaemonRunning", "serve from the state directory", `${who} does so already`, {
      subject: directory,
      remedy: "stop it first, or set daemon.state_directory for a second one",
    });
  }
  // only words for whoever comes second: a full disk keeps no daemon from starting, which may make room
  await writeFile(path, `${process.pid}\n`).catch(() => undefined);
  return held;
}
