/**
 * How a guest begins and ends: FUSE_INIT, FUSE_DESTROY.
 */
import type { Session } from "../session.ts";
import type { Reply, Request } from "../wire.ts";
import { Malformed } from "../wire.ts";

const MAJOR = 7;
/** What this server knows; the guest's kernel (6.1) says 37. */
const MINOR = 36;
/** The first whose messages are all as they are now: FUSE_INIT with 64 bytes of reply. */
const LEAST_MINOR = 31;

/** Pages of one read or write: as many as the kernel allows (FUSE_MAX_MAX_PAGES). */
const MOST_PAGES = 256;
const PAGE_BYTES = 4096;
const MOST_DATA_BYTES = MOST_PAGES * PAGE_BYTES;
/** Longest message: data, and its header and fields. */
export const MOST_MESSAGE_BYTES = MOST_DATA_BYTES + PAGE_BYTES;

const ASYNC_READ = 1 << 0;
const POSIX_LOCKS = 1 << 1;
const ATOMIC_O_TRUNC = 1 << 3;
const BIG_WRITES = 1 << 5;
const DONT_MASK = 1 << 6;
const FLOCK_LOCKS = 1 << 10;
const AUTO_INVAL_DATA = 1 << 12;
const DO_READDIRPLUS = 1 << 13;
const ASYNC_DIO = 1 << 15;
const NO_OPEN_SUPPORT = 1 << 17;
const PARALLEL_DIROPS = 1 << 18;
const POSIX_ACL = 1 << 20;
const MAX_PAGES = 1 << 22;
const CACHE_SYMLINKS = 1 << 23;
const NO_OPENDIR_SUPPORT = 1 << 24;
const HANDLE_KILLPRIV_V2 = 1 << 28;
const SETXATTR_EXT = 1 << 29;

const BOTH = ASYNC_READ | BIG_WRITES | ASYNC_DIO | PARALLEL_DIROPS | MAX_PAGES;
/** What never changes need not be opened, and is told with the names in its directory. */
const READONLY = BOTH | NO_OPEN_SUPPORT | NO_OPENDIR_SUPPORT | DO_READDIRPLUS | CACHE_SYMLINKS;
/** Others write, too: the guest asks before it believes its cache, and the host keeps the locks. */
const LOCKS = POSIX_LOCKS | FLOCK_LOCKS;
const RIGHTS = POSIX_ACL | DONT_MASK | HANDLE_KILLPRIV_V2 | SETXATTR_EXT;
const WRITABLE = BOTH | LOCKS | RIGHTS | ATOMIC_O_TRUNC | AUTO_INVAL_DATA;

/** Requests that a guest may have under way beside those that somebody waits for. */
const MOST_BACKGROUND = 64;
const CONGESTED = 48;
const UNUSED_BYTES = 28;

/** Throws Malformed for a kernel that is too old: then nothing of this would fit. */
export function init(session: Session, request: Request, reply: Reply): number {
  const [major, minor] = [request.u32(), request.u32()];
  const readahead = request.u32();
  const offered = request.u32();
  if (major !== MAJOR || minor < LEAST_MINOR)
    throw new Malformed(`version ${major}.${minor} of the protocol`);
  session.begun = true;
  reply.u32(MAJOR);
  reply.u32(MINOR);
  reply.u32(Math.min(readahead, MOST_DATA_BYTES));
  reply.u32(offered & (session.writable ? WRITABLE : READONLY));
  reply.u16(MOST_BACKGROUND);
  reply.u16(CONGESTED);
  reply.u32(MOST_DATA_BYTES);
  // times have whole nanoseconds
  reply.u32(1);
  reply.u16(MOST_PAGES);
  reply.u16(0);
  reply.u32(0);
  reply.zeros(UNUSED_BYTES);
  return 0;
}

/** The mount has gone. The connection follows. */
export function destroy(): number {
  return 0;
}
