/**
 * The table of operations: the number of each request → who answers it. A server that writes has other rows, nothing else.
 *
 * Numbers are those of the kernel's include/net/9p/9p.h; a reply has its request's number and one more.
 */
import * as sys from "sys";
import { getattr, statfs, xattrwalk } from "./attributes.ts";
import { attach, flush, version } from "./beginning.ts";
import { fsync, getlock, lock, lopen, read } from "./content.ts";
import { clunk, readdir, readlink, walk } from "./names.ts";
import type { Operation } from "./operation.ts";

/** The type of a reply that says why not. */
export const RLERROR = 7;
/** The one request that may come first. */
export const TVERSION = 100;

/** The share is read-only, whatever the fid: so its fields need not be read. */
const readonly: Operation = () => -sys.EROFS;
const unsupported: Operation = () => -sys.EOPNOTSUPP;

/** Tremove lets go of the fid, also when it removes nothing. */
const remove: Operation = (session, request) => (session.clunk(request.u32()) ? -sys.EROFS : -sys.EBADF);

export const OPERATIONS: ReadonlyMap<number, Operation> = new Map([
  [8, statfs],
  [12, lopen],
  [14, readonly], // lcreate
  [16, readonly], // symlink
  [18, readonly], // mknod
  [20, readonly], // rename
  [22, readlink],
  [24, getattr],
  [26, readonly], // setattr
  [30, xattrwalk],
  [32, readonly], // xattrcreate
  [40, readdir],
  [50, fsync],
  [52, lock],
  [54, getlock],
  [70, readonly], // link
  [72, readonly], // mkdir
  [74, readonly], // renameat
  [76, readonly], // unlinkat
  [TVERSION, version],
  [102, unsupported], // auth
  [104, attach],
  [108, flush],
  [110, walk],
  [116, read],
  [118, readonly], // write
  [120, clunk],
  [122, remove],
]);
