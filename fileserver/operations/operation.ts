/**
 * What an operation of the protocol is. Each is one function; table.ts says which message it answers.
 */
import * as sys from "sys";
import type { Handle } from "../handle.ts";
import { OWNER_IN_ATTRIBUTES, type StatBuffer } from "../identities.ts";
import type { Node } from "../nodes.ts";
import type { Session } from "../session.ts";
import type { Reply, Request } from "../wire.ts";

/** There is no reply. */
export const NO_REPLY = 1;
/** What `session.setWait` was given makes the reply, later. */
export const LATER = 2;

/**
 * Answers one request: reads its fields, then writes the reply's. The result is 0, or -errno for a reply that says so
 * (what was written is dropped then), or {@link NO_REPLY}, or {@link LATER}. Throws Malformed.
 */
export type Operation = (session: Session, request: Request, reply: Reply) => number;

/** Makes an operation of one that is about a file which must still be there. */
export function ofNode(
  answer: (node: Node, session: Session, request: Request, reply: Reply) => number,
): Operation {
  return (session, request, reply) => {
    const node = session.node(request);
    return node === undefined ? -sys.ESTALE : answer(node, session, request, reply);
  };
}

/** Makes an operation of one that starts with the number of an open file. */
export function ofHandle(
  answer: (handle: Handle, session: Session, request: Request, reply: Reply) => number,
): Operation {
  return (session, request, reply) => {
    const handle = session.handle(request.u64());
    return handle === undefined ? -sys.EBADF : answer(handle, session, request, reply);
  };
}

/** How long a guest may keep what it was told, in seconds: what others may change is asked for again each time. */
const FOR_EVER = 365 * 24 * 3600;
/**
 * A directory's attributes hold for one tick of the guest's clock, in nanoseconds: so a path costs one request for each
 * name and not two. A file's never do: who has just got a lock on it must see its size.
 */
const A_TICK = 1;

export function validity({ writable }: Session): number {
  return writable ? 0 : FOR_EVER;
}

/** The nanoseconds that belong to the attributes' {@link validity}. */
export function validNanoseconds({ kind }: Node): number {
  return kind === sys.S_IFDIR ? A_TICK : 0;
}

/** Writes a struct fuse_entry_out. */
export function putEntry(reply: Reply, node: Node, stat: StatBuffer, session: Session): void {
  const seconds = validity(session);
  reply.u64(node.id);
  reply.u64(0);
  reply.u64(seconds);
  reply.u64(seconds);
  reply.u32(0);
  reply.u32(validNanoseconds(node));
  putAttributes(reply, node, stat, session);
}

/** Writes a struct fuse_attr. */
export function putAttributes(reply: Reply, node: Node, stat: StatBuffer, session: Session): void {
  const at = reply.position;
  reply.copy(stat.attributes);
  correctAttributes(reply, at, node, stat, session);
}

/** The inode's number is the one that is unique in the share, and the owner is the guest's. */
export function correctAttributes(
  reply: Reply,
  at: number,
  node: Node,
  stat: StatBuffer,
  { owners }: Session,
): void {
  reply.setU32(at, node.low);
  reply.setU32(at + 4, node.high);
  reply.setU32(at + OWNER_IN_ATTRIBUTES, owners.uids.toGuest(stat.owner));
  reply.setU32(at + OWNER_IN_ATTRIBUTES + 4, owners.gids.toGuest(stat.group));
}
