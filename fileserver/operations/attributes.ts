/**
 * What files are: Tgetattr, Tstatfs, Txattrwalk.
 */
import * as sys from "sys";
import { ofFid, putQid } from "./operation.ts";

/** Mode to blocks: all that a file system must know (P9_STATS_BASIC). */
const BASIC = 0x7ff;
/** Of a stat, the bytes before what Rgetattr has, and those. */
const FACT_BYTES = 24;
const ATTRIBUTE_BYTES = 116;
const STATFS_BYTES = 60;
/** XATTR_SIZE_MAX and XATTR_LIST_MAX of the kernel. */
const MOST_XATTR_BYTES = 65_536;

/** The mask is only a hint, and all there is costs nothing more. */
export const getattr = ofFid(({ node, file }, { tree }, request, reply) => {
  request.u64();
  const { found } = tree;
  const read = file >= 0 ? found.read(file) : tree.stat(node);
  if (read < 0) return read;
  reply.u64(BASIC);
  putQid(reply, node, found.version);
  new Uint8Array(reply.bytes, reply.position).set(new Uint8Array(found.bytes, FACT_BYTES));
  reply.skip(ATTRIBUTE_BYTES);
  // gen, data_version
  reply.u64(0);
  reply.u64(0);
  return 0;
});

export const statfs = ofFid(({ node }, { tree }, _request, reply) => {
  const fd = tree.fdOf(node);
  if (fd < 0) return fd;
  const read = sys.statfsEntry(fd, reply.bytes, reply.position, STATFS_BYTES);
  reply.skip(STATFS_BYTES);
  return read;
});

let scratch: ArrayBuffer | undefined;

/** Reads the attribute, or the list of their names, and makes a fid from which it is read piece by piece. */
export const xattrwalk = ofFid(({ node }, session, request, reply) => {
  const newNumber = request.u32();
  const attribute = request.text();
  if (attribute.includes("\0")) return -sys.EINVAL;
  const { tree } = session;
  const directory = tree.fdOf(node.parent ?? node);
  if (directory < 0) return directory;
  scratch ??= new ArrayBuffer(MOST_XATTR_BYTES);
  const size = sys.getEntryXattr(directory, node.name, attribute, scratch, 0, MOST_XATTR_BYTES);
  if (size < 0) return size;
  const fid = session.bind(newNumber, tree.hold(node));
  if (typeof fid === "number") {
    tree.release(node);
    return fid;
  }
  fid.attribute = scratch.slice(0, size);
  reply.u64(size);
  return 0;
});
