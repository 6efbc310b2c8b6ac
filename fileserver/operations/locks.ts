/**
 * Locks: FUSE_GETLK, FUSE_SETLK, FUSE_SETLKW, for fcntl(2) and flock(2).
 *
 * A lock that cannot be had now is waited for by a child (late.ts).
 */
import * as sys from "sys";
import type { Handle } from "../handle.ts";
import { LOCK_BYTES } from "../locks.ts";
import type { Session } from "../session.ts";
import type { Request } from "../wire.ts";
import { LATER, type Operation, ofHandle } from "./operation.ts";

const FLOCK = 1;
const [GET, SET, SET_AND_WAIT] = [0, 1, 2];
/** F_RDLCK, F_WRLCK, F_UNLCK. */
const FLOCK_OF = [sys.LOCK_SH, sys.LOCK_EX, sys.LOCK_UN];

/** A struct fuse_lk_in after its handle. */
function readFields(request: Request) {
  const owner = request.key();
  const at = request.skip(16);
  const [type, pid, flags] = [request.u32(), request.u32(), request.u32()];
  return { owner, at, type, pid, isFlock: (flags & FLOCK) !== 0 };
}

export const getlk = ofHandle((handle, { locks }, request, reply) => {
  const { owner, at } = readFields(request);
  const fd = locks.existing(owner, handle.node.id) ?? handle.fd;
  const place = reply.position;
  reply.copy(new Uint8Array(request.bytes, at, LOCK_BYTES));
  const result = sys.recordLock(fd, GET, reply.bytes, place, LOCK_BYTES);
  if (result === 0) reply.setU32(place + LOCK_BYTES - 4, locks.otherPid(owner, handle.node.id));
  return result;
});

export const setlk: Operation = (session, request) => set(session, request, false);
export const setlkw: Operation = (session, request) => set(session, request, true);

function set(session: Session, request: Request, waits: boolean): number {
  const number = request.u64();
  const handle = session.handle(number);
  if (handle === undefined) return -sys.EBADF;
  const fields = readFields(request);
  const attempt = fields.isFlock
    ? wholeFile(handle, fields.type)
    : record(session, request, handle, number, fields);
  if (typeof attempt === "number") return attempt;
  const result = attempt(false);
  if (result !== -sys.EAGAIN || !waits) return result;
  session.setWait(() => attempt(true));
  return LATER;
}

type Attempt = (waits: boolean) => number;

function wholeFile({ fd }: Handle, type: number): Attempt | number {
  const operation = FLOCK_OF[type];
  if (operation === undefined) return -sys.EINVAL;
  return (waits) => sys.flock(fd, waits ? operation : operation | sys.LOCK_NB);
}

function record(
  { locks }: Session,
  request: Request,
  handle: Handle,
  number: number,
  { owner, at, pid }: ReturnType<typeof readFields>,
): Attempt | number {
  const fd = locks.descriptorOf(owner, number, handle, pid);
  if (fd < 0) return fd;
  const { bytes } = request;
  return (waits) => sys.recordLock(fd, waits ? SET_AND_WAIT : SET, bytes, at, LOCK_BYTES);
}
