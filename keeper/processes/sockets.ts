/**
 * Listening unix sockets for children, which can open no path: unix(7), network_namespaces(7).
 *
 * A socket keeps the network namespace that it was made in, and shows that namespace's links to whoever has it. So a socket
 * for a copy that has a jail is made in a namespace that is empty.
 */
import * as sys from "sys";
import { failure } from "../../native/runtime/check.ts";
import { NetworkNamespace } from "./network-namespaces.ts";

/** A VMM serves one connection; another one may wait while the daemon is restarted. */
const BACKLOG = 16;

interface SocketFile {
  readonly path: string;
  readonly mode: number;
}

/** Listens at a path, in this process's network namespace. Throws HostResource. */
export function listenAt({ path, mode }: SocketFile): number {
  const stat = sys.lstat(path);
  // What a process has left that had the same name. Anything but a socket stays, and is in the way.
  if (typeof stat !== "number" && (stat.mode & sys.S_IFMT) === sys.S_IFSOCK) sys.unlink(path);
  const fd = sys.unixListen(path, mode, BACKLOG);
  if (fd < 0) throw failure(fd, "HostResource", "listen for a process", path);
  return fd;
}

/** Undefined until it is needed; null where the keeper may make none. */
let empty: NetworkNamespace | undefined | null;

/** Listens in an empty network namespace; a keeper that may make none listens in its own. Throws HostResource. */
export function listenInEmptyNetwork(sockets: readonly SocketFile[]): number[] {
  if (empty === undefined) empty = makeEmpty();
  return empty === null ? listenAll(sockets) : empty.inside(() => listenAll(sockets));
}

function makeEmpty(): NetworkNamespace | null {
  try {
    return NetworkNamespace.make();
  } catch {
    return null;
  }
}

function listenAll(sockets: readonly SocketFile[]): number[] {
  const made: number[] = [];
  try {
    for (const socket of sockets) made.push(listenAt(socket));
    return made;
  } catch (error) {
    for (const fd of made) sys.close(fd);
    throw error;
  }
}
