/**
 * Listening unix sockets for children, which can open no path: unix(7), network_namespaces(7).
 *
 * A socket keeps the network namespace that it was made in, and shows that namespace's links to whoever has it. So a socket
 * for a copy that has a jail is made in a namespace that is empty.
 */
import * as sys from "sys";
import { check, failure } from "../../native/runtime/check.ts";

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

/** The keeper's network namespace, and one in which there is nothing. */
interface Namespaces {
  readonly own: number;
  readonly empty: number;
}

let namespaces: Namespaces | undefined;

/** Listens in the empty network namespace; a keeper that may make none listens in its own. Throws HostResource. */
export function listenInEmptyNetwork(sockets: readonly SocketFile[]): number[] {
  namespaces ??= makeNamespaces();
  if (namespaces === undefined) return listenAll(sockets);
  const { own, empty } = namespaces;
  check(sys.setns(empty, sys.CLONE_NEWNET), "enter an empty network namespace");
  try {
    return listenAll(sockets);
  } finally {
    check(sys.setns(own, sys.CLONE_NEWNET), "return to the keeper's network namespace");
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

function makeNamespaces(): Namespaces | undefined {
  const own = check(sys.open("/proc/self/ns/net", sys.O_RDONLY), "open a network namespace");
  if (sys.unshare(sys.CLONE_NEWNET) < 0) {
    sys.close(own);
    return undefined;
  }
  const empty = check(sys.open("/proc/self/ns/net", sys.O_RDONLY), "open a network namespace");
  check(sys.setns(own, sys.CLONE_NEWNET), "return to the keeper's network namespace");
  return { own, empty };
}
