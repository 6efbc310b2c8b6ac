/**
 * Extended attributes: FUSE_GETXATTR, FUSE_LISTXATTR, FUSE_SETXATTR, FUSE_REMOVEXATTR.
 */
import * as sys from "sys";
import { ofNode } from "./operation.ts";

/** XATTR_SIZE_MAX and XATTR_LIST_MAX of the kernel. */
const MOST_XATTR_BYTES = 65_536;
/** The asker is not of the file's group: a new access list takes S_ISGID from it. */
const ACL_KILL_SGID = 1;
const S_ISGID = 0o2000;

export const getxattr = ofNode((node, { tree, owners }, request, reply) => {
  const size = Math.min(request.u32(), MOST_XATTR_BYTES);
  request.skip(4);
  const name = request.text();
  if (!owners.canHave(name)) return -sys.ENODATA;
  const fd = tree.fdOf(node);
  if (fd < 0) return fd;
  const length = sys.getEntryXattr(fd, name, reply.bytes, reply.position, size);
  if (length > 0 && size > 0)
    owners.mapList(name, new DataView(reply.bytes, reply.position, length), "toGuest");
  return put(length, size, reply);
});

export const listxattr = ofNode((node, { tree }, request, reply) => {
  const size = Math.min(request.u32(), MOST_XATTR_BYTES);
  request.skip(4);
  const fd = tree.fdOf(node);
  if (fd < 0) return fd;
  return put(sys.listEntryXattrs(fd, reply.bytes, reply.position, size), size, reply);
});

/** Who gives no room asks for the length. */
function put(length: number, size: number, reply: Parameters<Parameters<typeof ofNode>[0]>[3]): number {
  if (length < 0) return length;
  if (size > 0) reply.skip(length);
  else {
    reply.u32(length);
    reply.u32(0);
  }
  return 0;
}

export const setxattr = ofNode((node, { tree, owners }, request) => {
  const [size, flags, more] = [request.u32(), request.u32(), request.u32()];
  request.skip(4);
  const name = request.text();
  const at = request.skip(size);
  if (!owners.canHave(name)) return -sys.EOPNOTSUPP;
  if (!owners.mapList(name, new DataView(request.bytes, at, size), "toHost")) return -sys.EOVERFLOW;
  const fd = tree.fdOf(node);
  if (fd < 0) return fd;
  const set = sys.setEntryXattr(fd, name, request.bytes, at, size, flags);
  if (set < 0 || (more & ACL_KILL_SGID) === 0) return set;
  const read = tree.found.read(fd);
  return read < 0 ? read : sys.chmodEntry(fd, tree.found.mode & 0o7777 & ~S_ISGID);
});

export const removexattr = ofNode((node, { tree }, request) => {
  const name = request.text();
  const fd = tree.fdOf(node);
  return fd < 0 ? fd : sys.removeEntryXattr(fd, name);
});
