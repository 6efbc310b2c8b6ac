/**
 * Connects to unix sockets: unix(7). Checks the length of their paths, and waits until somebody listens.
 *
 * An attempt that fails or is aborted leaves no socket open. Must not know the protocol of a connection.
 */
import net from "node:net";
import { BlazarError, blazarError, reasonOf } from "../../contracts/errors.ts";
import { cancelled, onAbort, pause } from "../async.ts";

/** sizeof(sun_path) without its NUL. */
const MAX_UNIX_PATH_BYTES = 107;

const FIRST_RETRY_MS = 2;
const LAST_RETRY_MS = 4;

/** Why no socket can have this path; undefined if one can. */
export function unixPathProblem(path: string): string | undefined {
  const bytes = Buffer.byteLength(path);
  if (bytes <= MAX_UNIX_PATH_BYTES) return undefined;
  return `its path has ${bytes} bytes, the kernel allows ${MAX_UNIX_PATH_BYTES}`;
}

/** Throws InvalidArgument if no socket can have this path. */
export function checkUnixPath(path: string): void {
  const problem = unixPathProblem(path);
  if (problem === undefined) return;
  const remedy = "choose a shorter state directory";
  throw blazarError("InvalidArgument", "make a unix socket", problem, { subject: path, remedy });
}

/** Where all links read into, one after the other: libuv reads and reports in one go. */
const readBuffer = new Uint8Array(64 * 1024);

/**
 * What to connect by, so that a socket allocates nothing for what it reads. Such a socket has no `data` events.
 * @param onBytes gets a view that is overwritten by the next read of any socket: copy it to keep it
 */
export function readingInPlace(onBytes: (bytes: Uint8Array) => void): Pick<net.ConnectOpts, "onread"> {
  const callback = (count: number, buffer: Uint8Array): boolean => {
    onBytes(buffer.subarray(0, count));
    return true;
  };
  return { onread: { buffer: readBuffer, callback } };
}

/**
 * Connects once. Rejects with LinkClosed, or Cancelled when `signal` aborts.
 * @param reading of {@link readingInPlace}; without it the socket is an ordinary stream
 */
export function connectUnix(
  path: string,
  signal?: AbortSignal,
  reading: Pick<net.ConnectOpts, "onread"> = {},
): Promise<net.Socket> {
  const what = { operation: "connect", subject: path };
  return new Promise((resolve, reject) => {
    if (signal?.aborted === true) return reject(cancelled(what));
    const socket = net.connect({ path, ...reading });
    const settle = (error?: BlazarError): void => {
      forget();
      socket.removeListener("error", onError);
      if (error === undefined) return resolve(socket);
      socket.destroy();
      reject(error);
    };
    const onError = (cause: Error): void =>
      settle(blazarError("LinkClosed", "connect", reasonOf(cause), { subject: path, cause }));
    const forget = onAbort(signal, () => settle(cancelled(what)));
    socket.once("error", onError);
    socket.once("connect", () => settle());
  });
}

/** Connects as soon as somebody listens there. Rejects at the abort, or at an error other than "nobody listens yet". */
export async function awaitUnix(path: string, signal: AbortSignal): Promise<net.Socket> {
  // libuv would cut it off, and nobody would ever listen there
  checkUnixPath(path);
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
