/**
 * Binds a unix socket that only its owner can ever connect to: unix(7), bind(2).
 *
 * bind(2) makes the file under the umask, which belongs to the whole process. So the socket is bound in a directory of
 * mode 0700, gets mode 0600 there and is renamed to its place. The rename replaces the socket of a process that has
 * ended; a socket that somebody listens on is left alone. Must not make the parent directory.
 */
import { chmod, lstat, mkdtemp, rename, rm, unlink } from "node:fs/promises";
import path from "node:path";
import { BlazarError, blazarError, reasonOf } from "../contracts/errors.ts";
import { connectUnix, unixPathProblem } from "./unix-socket.ts";

/** A bound socket, in its place. */
export interface BoundSocket {
  readonly path: string;
  /** Removes the file, unless another process has put its own there. Close the listener first. */
  remove(): Promise<void>;
}

/**
 * Calls `bind` with a private path to listen on and then moves the socket to `target`.
 * @throws BlazarError `HostResource` if `target` is in use, too long, no socket, or cannot be bound
 */
export async function bindUnixSocket(
  target: string,
  bind: (privatePath: string) => Promise<void>,
): Promise<BoundSocket> {
  await refuseIfInUse(target);
  const directory = await mkdtemp(path.join(path.dirname(target), ".s-")).catch((cause: unknown) => {
    throw failure(target, reasonOf(cause), "check that the directory exists and is writable", cause);
  });
  try {
    const privatePath = path.join(directory, "s");
    checkLength(target);
    checkLength(privatePath);
    await bind(privatePath);
    await chmod(privatePath, 0o600);
    const { ino, dev } = await lstat(privatePath);
    await rename(privatePath, target);
    return { path: target, remove: () => removeIfSame(target, ino, dev) };
  } catch (cause) {
    throw cause instanceof BlazarError ? cause : failure(target, reasonOf(cause), undefined, cause);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

async function refuseIfInUse(target: string): Promise<void> {
  const stats = await lstat(target).catch(() => undefined);
  if (stats === undefined) return;
  if (!stats.isSocket()) {
    throw failure(target, "the path exists and is not a socket", "remove it or configure another path");
  }
  if (await answers(target)) {
    throw failure(target, "another process is listening there", "stop it or configure another path");
  }
}

async function answers(target: string): Promise<boolean> {
  const socket = await connectUnix(target).catch(() => undefined);
  socket?.destroy();
  return socket !== undefined;
}

async function removeIfSame(target: string, ino: number, dev: number): Promise<void> {
  const stats = await lstat(target).catch(() => undefined);
  if (stats?.ino === ino && stats.dev === dev) await unlink(target).catch(() => undefined);
}

function checkLength(socketPath: string): void {
  const problem = unixPathProblem(socketPath);
  if (problem !== undefined) throw failure(socketPath, problem, "use a shorter one");
}

function failure(subject: string, reason: string, remedy?: string, cause?: unknown): BlazarError {
  return blazarError("HostResource", "listen on the unix socket", reason, { subject, remedy, cause });
}
