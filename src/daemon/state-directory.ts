/**
 * The directories that a daemon works in, and the proof that they are its own.
 *
 * What is below them and in no journal is removed by the reconciler, and what is in the journals is undone as root. So a
 * directory that is somebody else's, or that others can change, must never become one of them.
 */
import { lstat, readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { SCRATCH_DISK } from "../actors/reconcile/looks.ts";
import { BlazarError, blazarError } from "../contracts/errors.ts";
import type { FileLock } from "../host/file-lock.ts";
import { takeDirectory } from "../host/storage/own-directory.ts";
import { makeDirectories } from "../lib/directories.ts";
import { distrust } from "../lib/distrust.ts";
import type { Config } from "./config/schema.ts";
import { LOCK_FILE, lockState } from "./state-lock.ts";

const STATE_KEY = "daemon.state_directory";
const SCRATCH_KEY = "storage.scratch_directory";
const JOURNALS = "journals";
const JOURNAL_SUFFIX = ".jsonl";
/** What is in there is removed if no journal names it. */
const PLACES = ["sandboxes", "vm", "uplinks"] as const;
const TRAVERSED = 0o711;
const OWNER_ONLY = 0o700;
/** Names that a refusal shows. */
const SHOWN_NAMES = 3;

/** Where the journals of sandboxes and warm VMs are. */
export function journalDirectory(config: Config): string {
  return join(config.daemon.state_directory, JOURNALS);
}

/** Where containerd's proxy plugin connects. */
export function controllerSocket({ daemon }: Pick<Config, "daemon">): string {
  return daemon.socket ?? join(daemon.state_directory, "blazar.sock");
}

/** Where containerd connects for tasks. */
export function taskSocketOf({ daemon }: Pick<Config, "daemon">): string {
  return daemon.task_socket ?? join(daemon.state_directory, "task.sock");
}

/** Makes the directories that a daemon works in. Throws HostResource naming the key. */
export async function makeStateDirectories(config: Config): Promise<void> {
  const { state_directory: state } = config.daemon;
  await makeOwn(state, TRAVERSED, STATE_KEY);
  await makeOwn(join(state, "sandboxes"), TRAVERSED, STATE_KEY);
  await makeOwn(join(state, "vm"), TRAVERSED, STATE_KEY);
  await makeOwn(join(state, JOURNALS), OWNER_ONLY, STATE_KEY);
  await makeOwn(config.storage.scratch_directory, TRAVERSED, SCRATCH_KEY);
}

/**
 * The same for a daemon, which has them alone. Keep what is returned for as long as it lives.
 * @throws BlazarError DaemonRunning, naming the process; HostResource, naming the key
 */
export async function takeStateDirectories(config: Config): Promise<FileLock> {
  const { state_directory: state } = config.daemon;
  const { scratch_directory: scratch } = config.storage;
  await makeOwn(state, TRAVERSED, STATE_KEY);
  await checkStateDirectory(state);
  const lock = await lockState(state);
  try {
    await makeStateDirectories(config);
    // before the first disk is in it: then each one is the owner's
    await takeDirectory(scratch, state, (name) => SCRATCH_DISK.test(name));
  } catch (error) {
    await lock.release();
    throw error;
  }
  return lock;
}

/**
 * Throws HostResource if what is in the directory cannot be told to be a daemon's. One that is not there, or empty, can.
 */
export async function checkStateDirectory(state: string): Promise<void> {
  const own = await stat(state).catch(unlessGone);
  if (own === undefined) return;
  const reason = distrust(own);
  if (reason !== undefined) throw refused(state, reason, "name a directory that only its owner may write to");
  for (const name of [...PLACES, JOURNALS]) {
    const place = await lstat(join(state, name)).catch(unlessGone);
    const trouble = place && distrust(place);
    if (trouble !== undefined)
      throw refused(join(state, name), trouble, "blazard makes it by itself: move away what is there");
  }
  await checkOrigin(state);
}

/** The lock's file or a journal says that a daemon has been there before. */
async function checkOrigin(state: string): Promise<void> {
  if ((await lstat(join(state, LOCK_FILE)).catch(unlessGone)) !== undefined) return;
  if ((await namesIn(join(state, JOURNALS))).some((name) => name.endsWith(JOURNAL_SUFFIX))) return;
  const found = await Promise.all(
    PLACES.map(async (place) => (await namesIn(join(state, place))).map((name) => `${place}/${name}`)),
  );
  const names = found.flat();
  if (names.length === 0) return;
  const shown = names.slice(0, SHOWN_NAMES).join(", ");
  const more = names.length > SHOWN_NAMES ? ` and ${names.length - SHOWN_NAMES} more` : "";
  throw refused(state, `no blazard has made what is in it: ${shown}${more}`, "name a directory of its own");
}

function refused(subject: string, reason: string, remedy: string): BlazarError {
  return blazarError("HostResource", "use the state directory", reason, {
    subject,
    remedy: `${remedy} (${STATE_KEY})`,
  });
}

async function namesIn(directory: string): Promise<string[]> {
  return (await readdir(directory).catch(unlessGone)) ?? [];
}

async function makeOwn(path: string, mode: number, key: string): Promise<void> {
  try {
    await makeDirectories(path, mode);
  } catch (error) {
    const remedy = `make it possible, or set ${key}`;
    throw BlazarError.wrap(error, "HostResource", { operation: "make a directory", subject: path, remedy });
  }
}

function unlessGone(error: unknown): undefined {
  if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
}
