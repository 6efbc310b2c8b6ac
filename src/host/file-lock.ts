/**
 * A lock between processes: flock(2) on a file, held by an open descriptor.
 *
 * Node has no flock, so flock(1) of util-linux locks a descriptor that it inherits. The lock belongs to the open file
 * and ends with this process, however it ends: nothing stale can stay behind, and the file is never removed.
 */
import { spawn } from "node:child_process";
import { constants } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { BlazarError, blazarError } from "../contracts/errors.ts";
import { onAbort, throwIfAborted } from "../lib/async.ts";

const OPERATION = "lock a file";
/** flock(1)'s status for "somebody else has it", chosen apart from those for its own failures. */
const TAKEN = 75;

/** A lock that is held until it is released; release is idempotent. */
export interface FileLock {
  release(): Promise<void>;
}

/** Waits for the lock; `onWait` is called if somebody has it. Throws Cancelled, DependencyMissing, HostResource. */
export async function lock(
  path: string,
  signal: AbortSignal,
  onWait: () => void = () => undefined,
): Promise<FileLock> {
  const free = await tryLock(path, signal);
  if (free !== undefined) return free;
  onWait();
  const held = await take(path, [], signal);
  if (held === undefined) throw failed(path, "flock gave up");
  return held;
}

/** Undefined if somebody has it. Keep what is returned: the lock ends when it is collected. Throws as {@link lock}. */
export function tryLock(path: string, signal: AbortSignal): Promise<FileLock | undefined> {
  return take(path, ["--nonblock"], signal);
}

/** As {@link tryLock}, of a directory that is there. */
export function tryLockDirectory(path: string, signal: AbortSignal): Promise<FileLock | undefined> {
  return take(path, ["--nonblock"], signal, constants.O_RDONLY | constants.O_DIRECTORY);
}

async function take(
  path: string,
  options: readonly string[],
  signal: AbortSignal,
  flags = constants.O_WRONLY | constants.O_CREAT | constants.O_NOFOLLOW,
): Promise<FileLock | undefined> {
  const file = await open(path, flags, 0o600).catch((error: unknown) => {
    throw BlazarError.wrap(error, "HostResource", { operation: OPERATION, subject: path });
  });
  try {
    const status = await flock(file, options, signal);
    throwIfAborted(signal, { operation: OPERATION, subject: path });
    if (status === 0) return { release: () => file.close() };
    if (status !== TAKEN) throw failed(path, `flock ended with status ${status}`);
  } catch (error) {
    await file.close();
    throw error;
  }
  await file.close();
  return undefined;
}

function flock(file: FileHandle, options: readonly string[], signal: AbortSignal): Promise<number | null> {
  return new Promise((resolve, reject) => {
    const args = ["--exclusive", "--conflict-exit-code", String(TAKEN), ...options, "3"];
    const child = spawn("flock", args, { stdio: ["ignore", "ignore", "ignore", file.fd] });
    const forget = onAbort(signal, () => void child.kill("SIGKILL"));
    child.on("error", (cause) => {
      forget();
      reject(missing(cause));
    });
    child.on("close", (status) => {
      forget();
      resolve(status);
    });
  });
}

function missing(cause: Error): BlazarError {
  const remedy = "install the package util-linux";
  return blazarError("DependencyMissing", OPERATION, cause.message, { subject: "flock", remedy, cause });
}

function failed(path: string, reason: string): BlazarError {
  const remedy = "check that the directory is on a file system with locks";
  return blazarError("HostResource", OPERATION, reason, { subject: path, remedy });
}
