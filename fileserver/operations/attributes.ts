/**
 * What files are: FUSE_GETATTR, FUSE_SETATTR, FUSE_STATFS, FUSE_ACCESS.
 */
import * as sys from "sys";
import type { Node } from "../nodes.ts";
import type { Session } from "../session.ts";
import { BEYOND, type Reply, type Request } from "../wire.ts";
import { ofNode, putAttributes, validity, validNanoseconds } from "./operation.ts";

const GETATTR_FH = 1;
const SETATTR_BYTES = 88;
const STATFS_BYTES = 80;

const MODE = 1 << 0;
const UID = 1 << 1;
const GID = 1 << 2;
const SIZE = 1 << 3;
const ATIME = 1 << 4;
const MTIME = 1 << 5;
const FH = 1 << 6;
const KILL_SUIDGID = 1 << 11;
const AS_IT_IS = 0xffff_ffff;

export const getattr = ofNode((node, session, request, reply) => {
  const flags = request.u32();
  request.skip(4);
  const handle = (flags & GETATTR_FH) === 0 ? undefined : session.handle(request.u64());
  const { tree } = session;
  const read = handle === undefined ? tree.stat(node) : tree.found.read(handle.fd);
  if (read < 0) return read;
  putAttr(reply, node, session);
  return 0;
});

/** Writes a struct fuse_attr_out from the tree's last stat. */
function putAttr(reply: Reply, node: Node, session: Session): void {
  reply.u64(validity(session));
  reply.u32(validNanoseconds(node));
  reply.u32(0);
  putAttributes(reply, node, session.tree.found, session);
}

export const setattr = ofNode((node, session, request, reply) => {
  const fields = readFields(request);
  const { tree } = session;
  const fd = tree.fdOf(node);
  if (fd < 0) return fd;
  const changed = change(fd, fields, session, request);
  if (changed < 0) return changed;
  const read = tree.found.read(fd);
  if (read < 0) return read;
  putAttr(reply, node, session);
  return 0;
});

/** A struct fuse_setattr_in; the times are read where they are. */
function readFields(request: Request) {
  const at = request.position;
  const valid = request.u32();
  request.skip(4);
  const handle = request.u64();
  const size = request.offset();
  request.skip(44);
  const mode = request.u32();
  request.skip(4);
  const [uid, gid] = [request.u32(), request.u32()];
  request.skip(4);
  return { at, valid, handle, size, mode, uid, gid };
}

/** In the order in which one change does not undo another: a new owner takes setuid away, a new size changes the times. */
function change(
  fd: number,
  { at, valid, handle, size, mode, uid, gid }: ReturnType<typeof readFields>,
  session: Session,
  request: Request,
): number {
  if ((valid & (UID | GID)) !== 0) {
    const { uids, gids } = session.owners;
    const owner = [
      valid & UID ? uids.toHost(uid) : AS_IT_IS,
      valid & GID ? gids.toHost(gid) : AS_IT_IS,
    ] as const;
    if (Math.min(...owner) < 0) return -sys.EOVERFLOW;
    const result = sys.chownEntry(fd, ...owner);
    if (result < 0) return result;
  }
  if ((valid & MODE) !== 0) {
    const result = sys.chmodEntry(fd, mode);
    if (result < 0) return result;
  }
  if ((valid & SIZE) !== 0) {
    if (size === BEYOND) return -sys.EFBIG;
    const open = (valid & FH) === 0 ? undefined : session.handle(handle);
    const result = open === undefined ? sys.truncateEntry(fd, size) : sys.ftruncate(open.fd, size);
    if (result < 0) return result;
    if ((valid & KILL_SUIDGID) !== 0) dropPrivileges(fd);
  }
  return (valid & (ATIME | MTIME)) === 0 ? 0 : sys.setTimesEntry(fd, request.bytes, at, SETATTR_BYTES);
}

function dropPrivileges(fd: number): void {
  const file = sys.reopen(fd, sys.O_RDONLY | sys.O_NONBLOCK);
  if (file < 0) return;
  sys.dropPrivilegesOf(file);
  sys.close(file);
}

export const statfs = ofNode((node, { tree }, _request, reply) => {
  const fd = tree.fdOf(node);
  if (fd < 0) return fd;
  const read = sys.statfsEntry(fd, reply.bytes, reply.position, STATFS_BYTES);
  reply.skip(STATFS_BYTES);
  return read;
});
