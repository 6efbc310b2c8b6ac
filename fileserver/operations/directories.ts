/**
 * What is in directories: FUSE_OPENDIR, FUSE_READDIR, FUSE_READDIRPLUS, FUSE_RELEASEDIR, FUSE_FSYNCDIR.
 */
import * as sys from "sys";
import { StatBuffer } from "../identities.ts";
import type { Node } from "../nodes.ts";
import type { Session } from "../session.ts";
import type { Reply, Request } from "../wire.ts";
import { putOpen } from "./files.ts";
import { correctAttributes, type Operation, ofNode, validity } from "./operation.ts";

const MOST_ENTRIES = 512;
/** struct fuse_entry_out before each name, and of fuse_dirent what is before the name. */
const ENTRY_BYTES = 128;
const DIRENT_BYTES = 24;

const facts = new StatBuffer(MOST_ENTRIES);

export const opendir = ofNode((node, session, _request, reply) => {
  if (!session.writable) return -sys.ENOSYS;
  const number = session.open(node, sys.O_RDONLY | sys.O_DIRECTORY);
  if (number < 0) return number;
  putOpen(reply, number, session);
  return 0;
});

export const readdir: Operation = (session, request, reply) => list(session, request, reply, false);
export const readdirplus: Operation = (session, request, reply) => list(session, request, reply, true);

function list(session: Session, request: Request, reply: Reply, plus: boolean): number {
  const number = request.u64();
  const [low, high] = [request.u32(), request.u32()];
  const room = reply.need(request.u32());
  const node = session.node(request);
  if (node === undefined) return -sys.ESTALE;
  const fd = session.content(number, request);
  if (fd < 0) return fd;
  const prefix = prefixOf(node, session);
  if (prefix < 0) return prefix;
  const start = reply.position;
  const place = [reply.bytes, start, room] as const;
  const size = facts.bytes.byteLength;
  const length = sys.listEntries(fd, low, high, prefix, plus, ...place, facts.bytes, 0, size);
  if (length < 0) return length;
  if (plus) describe(node, session, reply, length);
  reply.skip(length);
  return 0;
}

function prefixOf(node: Node, { tree }: Session): number {
  const read = tree.stat(node);
  return read < 0 ? read : node.mount.prefixOf(tree.found);
}

/** Tells what each of the files is, which the guest then knows. Those that it has to look up by itself stay empty. */
function describe(node: Node, session: Session, reply: Reply, length: number): void {
  const end = reply.position + length;
  const view = new DataView(reply.bytes);
  for (let at = reply.position, entry = 0; at < end; entry++) {
    const nameLength = view.getUint32(at + ENTRY_BYTES + 16, true);
    const nameAt = at + ENTRY_BYTES + DIRENT_BYTES;
    const stat = facts.of(entry);
    if (!stat.isEmpty) {
      const name = sys.bytesToName(reply.bytes, nameAt, nameLength);
      const file = typeof name === "number" ? undefined : session.tree.list(node, name, stat);
      if (file !== undefined) putEntryAt(reply, at, file, stat, session);
    }
    at += (ENTRY_BYTES + DIRENT_BYTES + nameLength + 7) & ~7;
  }
}

function putEntryAt(reply: Reply, at: number, node: Node, stat: StatBuffer, session: Session): void {
  const seconds = validity(session);
  reply.setU64(at, node.id);
  reply.setU64(at + 16, seconds);
  reply.setU64(at + 24, seconds);
  reply.copyAt(at + 40, stat.attributes);
  correctAttributes(reply, at + 40, node, stat, session);
}

export const fsyncdir: Operation = (session, request) => {
  if (!session.writable) return -sys.ENOSYS;
  const handle = session.handle(request.u64());
  return handle === undefined ? -sys.EBADF : sys.fsync(handle.fd);
};
