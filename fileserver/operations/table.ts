/**
 * The table of operations: the number of each request → who answers it.
 *
 * Numbers are those of enum fuse_opcode in the kernel's include/uapi/linux/fuse.h. What is not here is ENOSYS, which tells
 * the guest not to ask again: FUSE_ACCESS (the guest checks permissions), FUSE_BMAP, FUSE_IOCTL, FUSE_POLL, FUSE_SYNCFS.
 */
import * as sys from "sys";
import { getattr, setattr, statfs } from "./attributes.ts";
import { destroy, init } from "./beginning.ts";
import { fsyncdir, opendir, readdir, readdirplus } from "./directories.ts";
import { copyFileRange, fallocate, flush, fsync, lseek, open, read, release, write } from "./files.ts";
import { getlk, setlk, setlkw } from "./locks.ts";
import { create, link, mkdir, mknod, symlink } from "./making.ts";
import { batchForget, forget, lookup, readlink } from "./names.ts";
import type { Operation } from "./operation.ts";
import { rename, rename2, rmdir, unlink } from "./removing.ts";
import { getxattr, listxattr, removexattr, setxattr } from "./xattrs.ts";

/** The one request that comes first. */
export const FUSE_INIT = 26;
/** It is about a request that waits: see connection.ts. */
export const FUSE_INTERRUPT = 36;

const READING: readonly (readonly [number, Operation])[] = [
  [1, lookup],
  [2, forget],
  [3, getattr],
  [5, readlink],
  [14, open],
  [15, read],
  [17, statfs],
  [18, release],
  [20, fsync],
  [22, getxattr],
  [23, listxattr],
  [25, flush],
  [FUSE_INIT, init],
  [27, opendir],
  [28, readdir],
  [29, release], // releasedir
  [30, fsyncdir],
  [38, destroy],
  [42, batchForget],
  [44, readdirplus],
  [46, lseek],
];

const WRITING: readonly (readonly [number, Operation])[] = [
  [4, setattr],
  [6, symlink],
  [8, mknod],
  [9, mkdir],
  [10, unlink],
  [11, rmdir],
  [12, rename],
  [13, link],
  [16, write],
  [21, setxattr],
  [24, removexattr],
  [31, getlk],
  [32, setlk],
  [33, setlkw],
  [35, create],
  [43, fallocate],
  [45, rename2],
  [47, copyFileRange],
];

const readonly: Operation = () => -sys.EROFS;

/** Locks change nothing. */
const LOCKS: ReadonlySet<Operation> = new Set([getlk, setlk, setlkw]);

/** Of a volume that is read-only nothing is changed, whatever the kernel would allow in it. */
function unlessReadonly(operation: Operation): Operation {
  if (LOCKS.has(operation)) return operation;
  return (session, request, reply) =>
    session.node(request)?.mount.readonly === true ? -sys.EROFS : operation(session, request, reply);
}

/** The operations of a share; one that is read-only refuses whatever would change it, without reading the request. */
export function operationsFor(writable: boolean): ReadonlyMap<number, Operation> {
  const writing = WRITING.map(
    ([number, operation]) => [number, writable ? unlessReadonly(operation) : readonly] as const,
  );
  return new Map([...READING, ...writing]);
}
