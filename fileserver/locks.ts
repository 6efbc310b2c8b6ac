/**
 * Record locks of the guest's processes on the host's files: fcntl(2).
 *
 * A lock of the guest has an owner, which is a process or an open file there. On the host an open file owns locks (F_OFD_SETLK).
 * So each owner has one of its own for each file that it has locked, and loses its locks when that is closed. Locks of other
 * guests and of the host's processes are respected both ways. Locks of whole files, flock(2), are those of the handles.
 */
import * as sys from "sys";
import type { Handle } from "./handle.ts";

/** struct fuse_file_lock. */
export const LOCK_BYTES = 24;

/** One owner's open file. */
interface Owned {
  readonly fd: number;
  readonly nodeId: number;
  /** In the guest. */
  pid: number;
  /** Handles by which it has asked. */
  readonly handles: Set<number>;
}

export class Locks {
  private readonly owned = new Map<string, Owned>();
  private readonly byHandle = new Map<number, Set<string>>();

  /** @param most owners at a time */
  constructor(private readonly most: number) {}

  /** The descriptor that holds this owner's locks; -errno if there can be no more of them. */
  descriptorOf(owner: string, number: number, { node, fd }: Handle, pid: number): number {
    const key = keyOf(node.id, owner);
    let owned = this.owned.get(key);
    if (owned === undefined) {
      if (this.owned.size >= this.most) return -sys.ENOLCK;
      const own = openForLocks(fd);
      if (own < 0) return own;
      owned = { fd: own, nodeId: node.id, pid, handles: new Set() };
      this.owned.set(key, owned);
    }
    owned.pid = pid;
    owned.handles.add(number);
    const keys = this.byHandle.get(number);
    if (keys === undefined) this.byHandle.set(number, new Set([key]));
    else keys.add(key);
    return owned.fd;
  }

  /** The same, if the owner has locks here. */
  existing(owner: string, nodeId: number): number | undefined {
    return this.owned.get(keyOf(nodeId, owner))?.fd;
  }

  /** The process of the guest that has locks in a file beside `owner`, if there is just one. */
  otherPid(owner: string, nodeId: number): number {
    const own = keyOf(nodeId, owner);
    const others = [...this.owned].filter(([key, owned]) => owned.nodeId === nodeId && key !== own);
    return others.length === 1 ? (others[0]?.[1].pid ?? 0) : 0;
  }

  /** The owner has closed a descriptor of the file, and loses all its locks there: fcntl(2). */
  flushed(owner: string, nodeId: number): void {
    this.drop(keyOf(nodeId, owner));
  }

  /** Nobody has this handle any more. Who has asked by it is gone, or was an open file itself. */
  closed(number: number): void {
    for (const key of [...(this.byHandle.get(number) ?? [])]) this.drop(key);
    this.byHandle.delete(number);
  }

  private drop(key: string): void {
    const owned = this.owned.get(key);
    if (owned === undefined) return;
    this.owned.delete(key);
    for (const handle of owned.handles) this.byHandle.get(handle)?.delete(key);
    sys.close(owned.fd);
  }
}

function keyOf(nodeId: number, owner: string): string {
  return `${nodeId}/${owner}`;
}

/** A lock for writing takes a descriptor that may write; the guest has checked whether its process may have it. */
function openForLocks(fd: number): number {
  const both = sys.reopen(fd, sys.O_RDWR | sys.O_NONBLOCK);
  return both >= 0 ? both : sys.reopen(fd, sys.O_RDONLY | sys.O_NONBLOCK);
}
