/**
 * Names: Twalk, Tclunk, Treadlink, Treaddir.
 */
import * as sys from "sys";
import type { Facts } from "../identities.ts";
import type { Node } from "../nodes.ts";
import type { Session } from "../session.ts";
import type { Reply, Request } from "../wire.ts";
import { type Operation, ofFid, putQid } from "./operation.ts";

/** Names of one Twalk (MAXWELEM of the protocol). */
const MOST_NAMES = 16;
const FACT_BYTES = 24;
const MOST_ENTRIES = 512;
/** Before the name in an entry of a directory: qid[13] offset[8] type[1] length[2]. */
const ENTRY_BYTES = 24;
const TWO_32 = 2 ** 32;

/** Walks as far as it can. Only a walk to the end makes a fid; one that takes no step at all is an error. */
export const walk: Operation = (session, request, reply) => {
  const number = request.u32();
  const fid = session.find(number);
  const newNumber = request.u32();
  const count = request.u16();
  if (fid === undefined) return -sys.EBADF;
  if (count > MOST_NAMES || fid.attribute !== undefined) return -sys.EINVAL;
  const { tree } = session;
  const countAt = reply.position;
  reply.u16(0);
  let node = tree.hold(fid.node);
  let walked = 0;
  let failed = 0;
  for (; walked < count; walked++) {
    const next = step(session, node, request);
    if (typeof next === "number") {
      failed = next;
      break;
    }
    tree.release(node);
    node = next;
    putQid(reply, node, tree.found.version);
  }
  if (walked === count) failed = settle(session, number, newNumber, node);
  if (walked < count || failed < 0) tree.release(node);
  if (failed < 0 && (walked === 0 || walked === count)) return failed;
  reply.setU16(countAt, walked);
  return 0;
};

/** One name further; the caller holds the result. */
function step({ tree }: Session, from: Node, request: Request): Node | number {
  const name = request.name();
  if (typeof name === "number") return name;
  if (from.kind !== sys.S_IFDIR) return -sys.ENOTDIR;
  if (name !== "..") return tree.child(from, name);
  const above = tree.above(from);
  const read = tree.stat(above);
  if (read < 0) tree.release(above);
  return read < 0 ? read : above;
}

/** Gives the end of a walk its number, which may be that of its beginning. */
function settle(session: Session, number: number, newNumber: number, node: Node): number {
  if (newNumber === number) {
    if (session.find(number)?.isOpen === true) return -sys.EINVAL;
    session.clunk(number);
  }
  const bound = session.bind(newNumber, node);
  return typeof bound === "number" ? bound : 0;
}

export const clunk: Operation = (session, request) => (session.clunk(request.u32()) ? 0 : -sys.EBADF);

export const readlink = ofFid(({ node }, { tree }, _request, reply) => {
  if (node.kind !== sys.S_IFLNK) return -sys.EINVAL;
  const fd = tree.fdOf(node);
  if (fd < 0) return fd;
  const lengthAt = reply.position;
  reply.u16(0);
  // a target has 4,095 bytes at most; one that does not fit a small message is cut, and so is of no use
  const length = sys.readLinkEntry(fd, reply.bytes, reply.position, reply.room);
  if (length < 0) return length;
  if (length === reply.room) return -sys.ENAMETOOLONG;
  reply.setU16(lengthAt, length);
  reply.skip(length);
  return 0;
});

/** What the kernel told of each entry; used again for each directory. */
class EntryFacts implements Facts {
  readonly bytes = new ArrayBuffer(MOST_ENTRIES * FACT_BYTES);
  private readonly words = new Uint32Array(this.bytes);
  private at = 0;

  /** Moves to the facts of an entry. */
  of(entry: number): this {
    this.at = (entry * FACT_BYTES) / 4;
    return this;
  }

  get deviceLow(): number {
    return this.words[this.at] ?? 0;
  }

  get deviceHigh(): number {
    return this.words[this.at + 1] ?? 0;
  }

  get inodeLow(): number {
    return this.words[this.at + 2] ?? 0;
  }

  get inodeHigh(): number {
    return this.words[this.at + 3] ?? 0;
  }

  get mountId(): number {
    return (this.words[this.at + 5] ?? 0) * TWO_32 + (this.words[this.at + 4] ?? 0);
  }

  /** There are none: it is "..". */
  get isParent(): boolean {
    return this.inodeLow === 0 && this.inodeHigh === 0 && this.deviceLow === 0;
  }
}

const facts = new EntryFacts();

export const readdir = ofFid(({ node, file }, { tree }, request, reply) => {
  const [positionLow, positionHigh] = [request.u32(), request.u32()];
  const count = request.u32();
  if (file < 0 || node.kind !== sys.S_IFDIR) return -sys.EBADF;
  const countAt = reply.position;
  reply.u32(0);
  const start = reply.position;
  const room = Math.min(count, reply.room);
  const size = facts.bytes.byteLength;
  const listed = sys.listEntries(
    file,
    positionLow,
    positionHigh,
    reply.bytes,
    start,
    room,
    facts.bytes,
    0,
    size,
  );
  if (typeof listed === "number") return listed;
  const [bytes, entries] = listed;
  let at = start;
  for (let entry = 0; entry < entries; entry++) {
    const length = reply.getU16(at + ENTRY_BYTES - 2);
    const known = facts.of(entry);
    const name = at + ENTRY_BYTES;
    const nameOf = (): string | number => sys.bytesToName(reply.bytes, name, length);
    const { parent = node } = node;
    const high = known.isParent ? parent.pathHigh : tree.entryPathHigh(node, nameOf, known);
    if (high < 0) return high;
    putEntryPath(reply, at, known.isParent ? parent.pathLow : known.inodeLow, high);
    at = name + length;
  }
  reply.setU32(countAt, bytes);
  reply.skip(bytes);
  return 0;
});

/** The path is the last 8 of a qid's 13 bytes. */
function putEntryPath(reply: Reply, entry: number, low: number, high: number): void {
  reply.setU32(entry + 5, low);
  reply.setU32(entry + 9, high);
}
