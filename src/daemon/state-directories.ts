/**
 * The directories that a daemon works in; each is its own alone, and it is made sure of that.
 *
 * What is below them and in no journal is removed by the reconciler, and what is in the journals is undone as root. So a
 * directory that is somebody else's must never become one of them.
 *
 * Pods' files, their sockets and their secrets are below them. So only root looks into them: a VMM, a file server and a
 * network helper get what they need from whoever starts them. A directory that others may write to could be made to hold
 * anything, so it is refused.
 */
import { chmod, lstat, readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { SCRATCH_DISK } from "../actors/reconcile/looks.ts";
import { COPIES } from "../actors/resources/journal/journal-copy.ts";
import { BlazarError, blazarError } from "../contracts/errors.ts";
import type { FileLock } from "../host/file-lock.ts";
import { takeDirectory } from "../host/storage/own-directory.ts";
import { distrusted, makeDirectories } from "../lib/directories.ts";
import type { Config } from "./config/schema.ts";
import { LOCK_FILE, lockState } from "./state-lock.ts";

const STATE_KEY = "daemon.state_directory";
const JOURNALS = "journals";
const JOURNAL_SUFFIX = ".jsonl";
/** What is in there is removed if no journal names it. */
const PLACES = ["sandboxes", "vm", "uplinks"] as const;
/** Names that a refusal shows. */
const SHOWN_NAMES = 3;
const PRIVATE = 0o700;
const PERMISSIONS = 0o7777;

/** Makes what is missing. @throws BlazarError HostResource naming the key */
export async function makeStateDirectories(config: Config): Promise<void> {
  const { state_directory: state } = config.daemon;
  await makeOwn(state, STATE_KEY);
  for (const name of ["sandboxes", "vm"]) await makePrivate(join(state, name), STATE_KEY);
  await makePrivate(journalDirectory(config), STATE_KEY);
  await makePrivate(join(journalDirectory(config), COPIES), STATE_KEY);
  // it may be an operator's, with other things in it
  await makeOwn(config.storage.scratch_directory, "storage.scratch_directory");
}

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

/**
 * Makes them for a daemon, which has them alone. Keep what is returned for as long as it lives.
 * @throws BlazarError DaemonRunning, naming the process; HostResource, naming the key
 */
export async function takeStateDirectories(config: Config): Promise<FileLock> {
  const { state_directory: state } = config.daemon;
  const { scratch_directory: scratch } = config.storage;
  await makeOwn(state, STATE_KEY);
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
  const reason = distrusted(own);
  if (reason !== undefined) throw refused(state, reason, "name a directory that only its owner may write to");
  for (const name of [...PLACES, JOURNALS]) {
    const place = await lstat(join(state, name)).catch(unlessGone);
    const trouble = place && distrusted(place);
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

/** An earlier release has let others look into it. */
async function makePrivate(path: string, key: string): Promise<void> {
  await makeOwn(path, key);
  const { mode } = await stat(path);
  if ((mode & PERMISSIONS) !== PRIVATE) await chmod(path, PRIVATE);
}

async function makeOwn(path: string, key: string): Promise<void> {
  const about = { operation: "make a directory", subject: path };
  try {
    await makeDirectories(path, PRIVATE);
  } catch (error) {
    throw BlazarError.wrap(error, "HostResource", { ...about, remedy: `make it possible, or set ${key}` });
  }
  const reason = distrusted(await stat(path));
  if (reason === undefined) return;
  const remedy = `set ${key} to a directory that only its owner may write to, or take the others' permission away`;
  throw blazarError("HostResource", about.operation, reason, { subject: path, remedy });
}

function unlessGone(error: unknown): undefined {
  if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
}
