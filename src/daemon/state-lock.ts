/**
 * One daemon a state directory: whoever comes second is refused before it touches anything.
 *
 * A second daemon would take the journals of the first for those of a dead one, and undo what its pods hold. The lock is the
 * kernel's and ends with the process, so nothing stale can keep a daemon from starting.
 */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { blazarError } from "../contracts/errors.ts";
import { type FileLock, tryLock, tryLockDirectory } from "../host/file-lock.ts";

/** Its file names the process. */
export const LOCK_FILE = "daemon.lock";

/** Keep what is returned for as long as the daemon lives. Throws DaemonRunning, naming the process. */
export async function lockState(directory: string): Promise<FileLock> {
  const path = join(directory, LOCK_FILE);
  const held = await lockBoth(directory, path);
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

/** The directory, because its file may have been removed; and the file, which is what earlier versions lock. */
async function lockBoth(directory: string, path: string): Promise<FileLock | undefined> {
  const { signal } = new AbortController();
  const outer = await tryLockDirectory(directory, signal);
  if (outer === undefined) return undefined;
  try {
    const inner = await tryLock(path, signal);
    if (inner !== undefined)
      return {
        release: async () => {
          await inner.release();
          await outer.release();
        },
      };
  } catch (error) {
    await outer.release();
    throw error;
  }
  await outer.release();
  return undefined;
}
