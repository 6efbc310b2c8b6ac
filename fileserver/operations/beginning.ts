/**
 * How a guest begins: Tversion, Tattach, and what has no use here (Tauth, Tflush).
 */
import * as sys from "sys";
import { type Operation, putQid } from "./operation.ts";

/** Longest message. The kernel's client takes no more over virtio either, and this server needs two buffers of it. */
export const MOST_MESSAGE_BYTES = 512_000;
const LEAST_MESSAGE_BYTES = 4096;
const VERSION = "9P2000.L";
const NO_FID = 0xffff_ffff;

export const version: Operation = (session, request, reply) => {
  const asked = request.u32();
  const version = request.text();
  if (asked < LEAST_MESSAGE_BYTES) return -sys.EMSGSIZE;
  const bytes = Math.min(asked, MOST_MESSAGE_BYTES);
  const known = version === VERSION;
  session.reset(known ? bytes : 0);
  reply.u32(bytes);
  reply.text(known ? VERSION : "unknown");
  return 0;
};

/** There is one tree, and all users of the guest see the same of it: the guest checks permissions. */
export const attach: Operation = (session, request, reply) => {
  const number = request.u32();
  const authenticated = request.u32();
  request.text();
  const tree = request.text();
  request.u32();
  if (authenticated !== NO_FID) return -sys.EINVAL;
  if (tree !== "" && tree !== "/") return -sys.ENOENT;
  const { tree: nodes } = session;
  const read = nodes.stat(nodes.root);
  if (read < 0) return read;
  const fid = session.bind(number, nodes.hold(nodes.root));
  if (typeof fid === "number") {
    nodes.release(nodes.root);
    return fid;
  }
  putQid(reply, nodes.root, nodes.found.version);
  return 0;
};

/** Requests are answered in their order, so one that shall be flushed has been answered. */
export const flush: Operation = (_session, request) => {
  request.u16();
  return 0;
};
