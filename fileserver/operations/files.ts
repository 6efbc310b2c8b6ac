/**
 * What is in files: FUSE_OPEN, FUSE_RELEASE, FUSE_READ, FUSE_WRITE, FUSE_FLUSH, FUSE_FSYNC, FUSE_FALLOCATE, FUSE_LSEEK,
 * FUSE_COPY_FILE_RANGE.
 */
import * as sys from "sys";
import type { Session } from "../session.ts";
import type { Reply } from "../wire.ts";
import { BEYOND } from "../wire.ts";
import { type Operation, ofHandle, ofNode } from "./operation.ts";

/** The guest may keep what it has read before. Without this, a file that is opened is read anew. */
const KEEP_CACHE = 1 << 1;
const OPEN_KILL_SUIDGID = 1;
const WRITE_CACHE = 1 << 0;
const WRITE_KILL_SUIDGID = 1 << 2;
const DATASYNC = 1;
/** What one request copies at most: others wait meanwhile. */
const MOST_COPIED = 16 * 2 ** 20;
const ACCESS_MODE = 3;

/** Of open(2)'s flags, those that matter to the host. The guest's own are O_APPEND, which may change later, and O_DIRECT. */
export function openFlags(flags: number): number {
  return flags & (ACCESS_MODE | sys.O_TRUNC | sys.O_SYNC);
}

/** Writes a struct fuse_open_out. */
export function putOpen(reply: Reply, handle: number, { writable }: Session): void {
  reply.u64(handle);
  reply.u32(writable ? 0 : KEEP_CACHE);
  reply.u32(0);
}

/** Files of a share that never changes need not be opened: -ENOSYS tells the guest so (FUSE_NO_OPEN_SUPPORT). */
export const open = ofNode((node, session, request, reply) => {
  if (!session.writable) return -sys.ENOSYS;
  const [flags, more] = [request.u32(), request.u32()];
  const number = session.open(node, openFlags(flags));
  if (number < 0) return number;
  if ((more & OPEN_KILL_SUIDGID) !== 0 && !node.mount.readonly)
    sys.dropPrivilegesOf(session.handle(number)?.fd ?? -1);
  putOpen(reply, number, session);
  return 0;
});

export const release: Operation = (session, request) => {
  session.close(request.u64());
  return 0;
};

/** The bytes go from the file into the reply's buffer, and from there to the guest. */
export const read: Operation = (session, request, reply) => {
  const fd = session.content(request.u64(), request);
  const offset = request.offset();
  const length = reply.need(request.u32());
  if (fd < 0) return fd;
  if (offset === BEYOND) return 0;
  const result = sys.pread(fd, reply.bytes, reply.position, length, offset);
  if (result < 0) return result;
  reply.skip(result);
  return 0;
};

/** Where a write goes that appends is the host's to say: the end may have moved. What was mapped has its place. */
export const write = ofHandle(({ fd }, _session, request, reply) => {
  const offset = request.offset();
  const [size, how] = [request.u32(), request.u32()];
  request.skip(8);
  const flags = request.u32();
  request.skip(4);
  const at = request.skip(size);
  if (offset + size >= BEYOND) return -sys.EFBIG;
  const appends = (flags & sys.O_APPEND) !== 0 && (how & WRITE_CACHE) === 0;
  let written = 0;
  while (written < size) {
    const result = sys.writeContent(
      fd,
      request.bytes,
      at + written,
      size - written,
      offset + written,
      appends,
    );
    if (result < 0 && written === 0) return result;
    if (result <= 0) break;
    written += result;
  }
  if ((how & WRITE_KILL_SUIDGID) !== 0) sys.dropPrivilegesOf(fd);
  reply.u32(written);
  reply.u32(0);
  return 0;
});

/** A process has closed a descriptor, and loses its record locks on the file. There is nothing to be written. */
export const flush: Operation = ({ locks, writable }, request) => {
  if (!writable) return -sys.ENOSYS;
  request.skip(16);
  locks.flushed(request.key(), request.nodeId);
  return 0;
};

export const fsync: Operation = (session, request) => {
  if (!session.writable) return -sys.ENOSYS;
  const handle = session.handle(request.u64());
  if (handle === undefined) return -sys.EBADF;
  return (request.u32() & DATASYNC) !== 0 ? sys.fdatasync(handle.fd) : sys.fsync(handle.fd);
};

export const fallocate = ofHandle(({ fd }, _session, request) => {
  const [offset, length] = [request.offset(), request.offset()];
  if (offset + length >= BEYOND) return -sys.EFBIG;
  return sys.fallocate(fd, request.u32(), offset, length);
});

export const lseek: Operation = (session, request, reply) => {
  const fd = session.content(request.u64(), request);
  if (fd < 0) return fd;
  const offset = request.offset();
  if (offset === BEYOND) return -sys.ENXIO;
  const position = sys.lseek(fd, offset, request.u32());
  if (position < 0) return position;
  reply.u64(position);
  return 0;
};

export const copyFileRange = ofHandle(({ fd }, session, request, reply) => {
  const from = request.offset();
  request.skip(8);
  const target = session.handle(request.u64());
  const [to, length] = [request.offset(), request.offset()];
  if (target === undefined) return -sys.EBADF;
  if (from === BEYOND) return -sys.EINVAL;
  if (to === BEYOND) return -sys.EFBIG;
  const copied = sys.copyRange(fd, from, target.fd, to, Math.min(length, MOST_COPIED));
  if (copied < 0) return copied;
  reply.u32(copied);
  reply.u32(0);
  return 0;
});
