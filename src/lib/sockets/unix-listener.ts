/**
 * Binds a unix socket that only its owner can ever connect to: unix(7), bind(2).
 *
 * bind(2) makes the file under the umask, which belongs to the whole process. So the socket is bound in a directory of
 * mode 0700, gets mode 0600 there and is renamed to its place. The rename replaces the socket of a process that has
 * ended; a socket that somebody listens on is left alone. On a full file system it is bound in its place, if the umask keeps
 * others away: a daemon has to start there, for its pods. Must not make the parent directory.
 */
import { chmod, lstat, mkdtemp, readFile, rename, rm, unlink } from "node:fs/promises";
import path from "node:path";
import { BlazarError, blazarError, reasonOf } from "../../contracts/errors.ts";
import { connectUnix, unixPathProblem } from "./unix-socket.ts";

const FULL = ["ENOSPC", "EDQUOT"];
const OTHERS_WRITE = 0o022;

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
  checkLength(target);
  try {
    return await bindAside(target, bind);
  } catch (cause) {
    if (!isFull(cause) || !(await isOwnersAlone())) throw cause;
    return await bindInPlace(target, bind);
  }
}

async function bindAside(target: string, bind: (privatePath: string) => Promise<void>): Promise<BoundSocket> {
  const directory = await mkdtemp(path.join(path.dirname(target), ".s-")).catch((cause: unknown) => {
    throw failure(target, reasonOf(cause), "check that the directory exists and is writable", cause);
  });
  try {
    const privatePath = path.join(directory, "s");
    checkLength(privatePath);
    await bind(privatePath);
    const bound = await confined(privatePath, target);
    await rename(privatePath, target);
    return bound;
  } catch (cause) {
    throw cause instanceof BlazarError ? cause : failure(target, reasonOf(cause), undefined, cause);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

/** Where no directory more can be made: the socket of a process that has ended gives its inode. */
async function bindInPlace(target: string, bind: (path: string) => Promise<void>): Promise<BoundSocket> {
  try {
    await rm(target, { force: true });
    await bind(target);
    return await confined(target, target);
  } catch (cause) {
    throw failure(target, reasonOf(cause), "make room for one more file", cause);
  }
}

async function confined(socket: string, target: string): Promise<BoundSocket> {
  await chmod(socket, 0o600);
  const { ino, dev } = await lstat(socket);
  return { path: target, remove: () => removeIfSame(target, ino, dev) };
}

/** Whether nobody else may connect to a socket as bind(2) makes it: that takes the right to write to it (unix(7)). */
async function isOwnersAlone(): Promise<boolean> {
  const [, umask = "0"] = /^Umask:\s*([0-7]+)$/m.exec(await readFile("/proc/self/status", "utf8")) ?? [];
  return (Number.parseInt(umask, 8) & OTHERS_WRITE) === OTHERS_WRITE;
}

/** No space or no inodes are left. */
function isFull(error: unknown): boolean {
  for (let each = error; each instanceof Error; each = each.cause)
    if (
      FULL.some(
        (code) => code === (each as NodeJS.ErrnoException).code || (each as Error).message.includes(code),
      )
    )
      return true;
  return false;
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
