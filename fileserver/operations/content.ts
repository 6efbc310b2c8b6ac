/**
 * What is in files: Tlopen, Tread, Tfsync, Tlock, Tgetlock.
 */
import * as sys from "sys";
import type { Reply } from "../wire.ts";
import { ofFid, putQid } from "./operation.ts";

/** O_WRONLY, O_RDWR, O_CREAT, O_TRUNC: the protocol's numbers are those of x86. */
const WRITING = 0o1103;
const LOCK_SUCCESS = 0;
const UNLOCKED = 2;

/** Opens a file or a directory. Devices, FIFOs and sockets are the guest's own affair, which knows them by their numbers. */
export const lopen = ofFid((fid, session, request, reply) => {
  const flags = request.u32();
  const { node } = fid;
  const { tree } = session;
  if ((flags & WRITING) !== 0) return -sys.EROFS;
  if (fid.isOpen) return -sys.EINVAL;
  if (node.kind === sys.S_IFLNK) return -sys.ELOOP;
  if (node.kind !== sys.S_IFREG && node.kind !== sys.S_IFDIR) return -sys.ENXIO;
  const opened = session.open(fid);
  if (opened < 0) return opened;
  putQid(reply, node, tree.found.version);
  // iounit: as much as fits into a message
  reply.u32(0);
  return 0;
});

/** The bytes go from the file into the reply's buffer, and from there to the guest. */
export const read = ofFid(({ node, file, attribute }, _session, request, reply) => {
  const offset = request.u64();
  const count = request.u32();
  const lengthAt = reply.position;
  reply.u32(0);
  const room = Math.min(count, reply.room);
  if (attribute !== undefined) return putPart(reply, attribute, offset, room, lengthAt);
  if (file < 0) return -sys.EBADF;
  if (node.kind === sys.S_IFDIR) return -sys.EISDIR;
  if (!Number.isSafeInteger(offset)) return -sys.EINVAL;
  const length = sys.pread(file, reply.bytes, reply.position, room, offset);
  if (length < 0) return length;
  reply.setU32(lengthAt, length);
  reply.skip(length);
  return 0;
});

function putPart(reply: Reply, bytes: ArrayBuffer, offset: number, room: number, lengthAt: number): number {
  const length = Math.max(0, Math.min(room, bytes.byteLength - offset));
  if (length > 0)
    new Uint8Array(reply.bytes, reply.position, length).set(new Uint8Array(bytes, offset, length));
  reply.setU32(lengthAt, length);
  reply.skip(length);
  return 0;
}

/** Nothing was written. */
export const fsync = ofFid((_fid, _session, request) => {
  request.u32();
  return 0;
});

/** Nobody else locks what this guest sees read-only: the guest keeps its locks by itself. */
export const lock = ofFid((_fid, _session, request, reply) => {
  request.u8();
  request.u32();
  request.u64();
  request.u64();
  request.u32();
  request.text();
  reply.u8(LOCK_SUCCESS);
  return 0;
});

export const getlock = ofFid((_fid, _session, request, reply) => {
  request.u8();
  reply.u8(UNLOCKED);
  reply.u64(request.u64());
  reply.u64(request.u64());
  reply.u32(request.u32());
  reply.text(request.text());
  return 0;
});
