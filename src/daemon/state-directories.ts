/**
 * The directories that a daemon works in; each is its own alone.
 *
 * Pods' files, their sockets and their secrets are below them. So only root looks into them: a VMM, a file server and a
 * network helper get what they need from whoever starts them. A directory that others may write to could be made to hold
 * anything, so it is refused.
 */
import { chmod, stat } from "node:fs/promises";
import { join } from "node:path";
import { BlazarError, blazarError } from "../contracts/errors.ts";
import { distrusted, makeDirectories } from "../lib/directories.ts";
import type { Config } from "./config/schema.ts";

const PRIVATE = 0o700;
const PERMISSIONS = 0o7777;

/** Makes what is missing. @throws BlazarError HostResource naming the key */
export async function makeStateDirectories(config: Config): Promise<void> {
  const { state_directory: state } = config.daemon;
  await makeOwn(state, "daemon.state_directory");
  for (const name of ["sandboxes", "vm"]) await makePrivate(join(state, name), "daemon.state_directory");
  await makePrivate(journalDirectory(config), "daemon.state_directory");
  await makePrivate(config.storage.scratch_directory, "storage.scratch_directory");
}

/** Where the journals of sandboxes and warm VMs are. */
export function journalDirectory(config: Config): string {
  return join(config.daemon.state_directory, "journals");
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
