/**
 * Connecting to unix sockets (unix(7)): the length limit of their paths, waiting for one to appear, abort.
 *
 * It owns a socket only until it hands it over; a failed or aborted attempt leaves none open. It knows nothing
 * of what is spoken on it.
 */
import net from "node:net";
import { BlazarError, blazarError, reasonOf } from "../contracts/errors.ts";

/** sizeof(sun_path) less its NUL. */
export const MAX_UNIX_PATH_BYTES = 107;

const FIRST_RETRY_MS = 2;
const LAST_RETRY_MS = 4;

/** Throws InvalidArgument if no socket can have this path. */
export function checkUnixPath(path: string): void {
  const bytes = Buffer.byteLength(path);
  if (bytes <= MAX_UNIX_PATH_BYTES) return;
  throw blazarError(
    "InvalidArgument",
    "make a unix socket",
    `its path has ${bytes} bytes, the kernel allows ${MAX_UNIX_PATH_BYTES}`,
    { subject: path, remedy: "choose a shorter state directory" },
  );
}

/** Connects once. Rejects with LinkClosed, or Cancelled when `signal` aborts. */
export function connectUnix(path: string, signal?: AbortSignal): Promise<net.Socket> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted === true) return reject(cancelled(path));
    const socket = net.connect(path);
    const settle = (error?: BlazarError): void => {
      signal?.removeEventListener("abort", onAbort);
      socket.removeListener("error", onError);
      if (error === undefined) return resolve(socket);
      socket.destroy();
      reject(error);
    };
    const onAbort = (): void => settle(cancelled(path));
    const onError = (cause: Error): void =>
      settle(blazarError("LinkClosed", "connect", reasonOf(cause), { subject: path, cause }));
    signal?.addEventListener("abort", onAbort, { once: true });
    socket.once("error", onError);
    socket.once("connect", () => settle());
  });
}

/** Connects as soon as somebody listens there. Ends only by success, another failure, or the abort. */
export async function awaitUnix(path: string, signal: AbortSignal): Promise<net.Socket> {
  for (let delay = FIRST_RETRY_MS; ; delay = Math.min(delay * 2, LAST_RETRY_MS)) {
    try {
      return await connectUnix(path, signal);
    } catch (error) {
      if (!notYetListening(error)) throw error;
    }
    await pause(delay, signal);
  }
}

function notYetListening(error: unknown): boolean {
  const cause = error instanceof BlazarError ? error.details.cause : undefined;
  const code = cause instanceof Error && "code" in cause ? cause.code : undefined;
  return code === "ENOENT" || code === "ECONNREFUSED" || code === "EAGAIN";
}

/** Resolves after a while, or early at an abort, which the next attempt reports. */
function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal.addEventListener("abort", done, { once: true });
  });
}

function cancelled(path: string): BlazarError {
  return blazarError("Cancelled", "connect", "it was called off", { subject: path });
}
