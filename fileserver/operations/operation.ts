/**
 * What an operation of the protocol is. Each is one function; table.ts says which message it answers.
 */
import * as sys from "sys";
import { qidType } from "../identities.ts";
import type { Node } from "../nodes.ts";
import type { Fid, Session } from "../session.ts";
import type { Reply, Request } from "../wire.ts";

/**
 * Answers one request: reads its fields, then writes the reply's. The result is 0, or -errno for a reply that says so;
 * what was written is dropped then. Throws Malformed.
 */
export type Operation = (session: Session, request: Request, reply: Reply) => number;

/** Makes an operation of one that starts with the number of a fid, which must be there. */
export function ofFid(
  answer: (fid: Fid, session: Session, request: Request, reply: Reply) => number,
): Operation {
  return (session, request, reply) => {
    const fid = session.find(request.u32());
    return fid === undefined ? -sys.EBADF : answer(fid, session, request, reply);
  };
}

/** Writes a node's qid. `version` tells two states of one file apart. */
export function putQid(reply: Reply, node: Node, version: number): void {
  reply.u8(qidType(node.kind));
  reply.u32(version);
  reply.u32(node.pathLow);
  reply.u32(node.pathHigh);
}
