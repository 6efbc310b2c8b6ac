/**
 * Names and what they mean: FUSE_LOOKUP, FUSE_FORGET, FUSE_BATCH_FORGET, FUSE_READLINK.
 */
import * as sys from "sys";
import { NO_REPLY, type Operation, ofNode, putEntry, validity } from "./operation.ts";

/** A target has fewer bytes (PATH_MAX). */
const TARGET_BYTES = 4096;

/** Where nothing changes, that there is no such file may be remembered, too: an entry without a file says so. */
export const lookup = ofNode((parent, session, request, reply) => {
  const name = request.name();
  if (typeof name === "number") return name;
  const node = session.tree.lookUp(parent, name);
  if (node === -sys.ENOENT && !session.writable) {
    reply.zeros(16);
    reply.u64(validity(session));
    reply.zeros(16 + 88);
    return 0;
  }
  if (typeof node === "number") return node;
  putEntry(reply, node, session.tree.found, session);
  return 0;
});

export const forget: Operation = ({ tree }, request) => {
  tree.forget(request.nodeId, request.u64());
  return NO_REPLY;
};

export const batchForget: Operation = ({ tree }, request) => {
  const count = request.u32();
  request.skip(4);
  for (let index = 0; index < count; index++) tree.forget(request.u64(), request.u64());
  return NO_REPLY;
};

export const readlink = ofNode((node, { tree }, _request, reply) => {
  if (node.kind !== sys.S_IFLNK) return -sys.EINVAL;
  const fd = tree.fdOf(node);
  if (fd < 0) return fd;
  const length = sys.readLinkEntry(fd, reply.bytes, reply.position, TARGET_BYTES);
  if (length < 0) return length;
  reply.skip(length);
  return 0;
});
