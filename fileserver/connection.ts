/**
 * The connection to one guest: takes messages out of a byte stream, has each answered, in order, and sends the reply.
 *
 * It reads and writes with blocking calls: nobody else is served by this process. Only what waits for locks is answered out of
 * turn (late.ts). A message that no kernel sends ends the connection, and so does the other end. The buffers are used again for
 * each message.
 */
import * as sys from "sys";
import { Late } from "./late.ts";
import { MOST_MESSAGE_BYTES } from "./operations/beginning.ts";
import { LATER, NO_REPLY } from "./operations/operation.ts";
import { FUSE_INIT, FUSE_INTERRUPT, operationsFor } from "./operations/table.ts";
import type { Session } from "./session.ts";
import { HEADER_BYTES, Malformed, Reply, Request } from "./wire.ts";

/** Requests of a guest that only reads are short. */
const FIRST_INPUT_BYTES = 64 * 1024;
const FIRST_OUTPUT_BYTES = 192 * 1024;
/** How often descriptors are looked through for those that are of no use any more. */
const GROW_MS = 5_000;
const EVENT_BYTES = 8;

export class Connection {
  private input = new ArrayBuffer(FIRST_INPUT_BYTES);
  private view = new DataView(this.input);
  private readonly request = new Request(this.input);
  private readonly reply = new Reply(FIRST_OUTPUT_BYTES, MOST_MESSAGE_BYTES);
  private readonly late: Late;
  private readonly operations: ReturnType<typeof operationsFor>;
  private readonly events = new ArrayBuffer(2 * EVENT_BYTES);
  private epoll = -1;
  private filled = 0;
  private growAt = 0;
  /** Rounds in which the guest has said nothing. */
  private silent = 0;

  /** @param fd a blocking stream socket */
  constructor(
    private readonly fd: number,
    private readonly session: Session,
  ) {
    this.late = new Late(fd);
    this.operations = operationsFor(session.writable);
  }

  /** Serves until the guest has gone. Throws Malformed. */
  serve(): void {
    sys.receiveTimeout(this.fd, GROW_MS);
    for (;;) {
      if (this.late.count > 0 && !this.waitForBoth()) continue;
      const length = sys.read(this.fd, this.input, this.filled, this.input.byteLength - this.filled);
      if (length === -sys.EAGAIN) {
        this.grow();
        continue;
      }
      if (length <= 0) return;
      this.heard();
      this.filled += length;
      if (!this.answerAll()) return;
    }
  }

  /** Waits for the guest, and sends replies that are late. True: the guest has said something. */
  private waitForBoth(): boolean {
    if (this.epoll < 0) this.epoll = this.watchBoth();
    const count = sys.epollWait(this.epoll, GROW_MS, this.events);
    const sources = new Int32Array(this.events);
    let heard = false;
    for (let index = 0; index < count; index++) if (sources[2 * index] === this.fd) heard = true;
    for (let done = this.late.done(); done !== undefined; done = this.late.done())
      this.send(this.reply.finish(done[0], done[1]));
    if (count === 0) this.grow();
    return heard;
  }

  private watchBoth(): number {
    const epoll = sys.epollCreate();
    for (const fd of [this.fd, this.late.reader])
      sys.epollCtl(epoll, sys.EPOLL_CTL_ADD, fd, sys.EPOLLIN | sys.EPOLLHUP, fd);
    return epoll;
  }

  /** Lets go of what the guest has not used for a while; after two silent rounds there is nothing left. */
  private grow(): void {
    this.session.grow();
    this.growAt = Date.now() + GROW_MS;
    this.silent++;
    if (this.silent > 2) sys.receiveTimeout(this.fd, 0);
  }

  private heard(): void {
    if (this.silent > 2) sys.receiveTimeout(this.fd, GROW_MS);
    this.silent = 0;
    if (Date.now() >= this.growAt) this.grow();
  }

  /** Answers the messages that are whole. False if the guest has gone. */
  private answerAll(): boolean {
    let at = 0;
    while (this.filled - at >= HEADER_BYTES) {
      const size = this.view.getUint32(at, true);
      if (size < HEADER_BYTES || size > MOST_MESSAGE_BYTES) throw new Malformed(`a message of ${size} bytes`);
      if (size > this.filled - at) {
        this.makeRoom(at, size);
        return true;
      }
      if (!this.answer(at, at + size)) return false;
      at += size;
    }
    this.makeRoom(at, 0);
    return true;
  }

  /** False if the guest has gone. */
  private answer(at: number, end: number): boolean {
    const { request, session } = this;
    request.begin(at, end);
    const { opcode, unique } = request;
    if (session.begun === (opcode === FUSE_INIT)) throw new Malformed("a message before or after its time");
    if (opcode === FUSE_INTERRUPT) return this.interrupt(request.u64());
    this.reply.begin();
    const operation = this.operations.get(opcode);
    const result = operation === undefined ? -sys.ENOSYS : operation(session, request, this.reply);
    if (result === NO_REPLY) return true;
    if (result === LATER) return this.later(unique);
    return this.send(this.reply.finish(unique, result));
  }

  private later(unique: number): boolean {
    const started = this.late.start(unique, this.session.takeWait());
    return started < 0 ? this.send(this.reply.finish(unique, started)) : true;
  }

  /** Calls a request off that waits. If it is done all the same, its reply says so. */
  private interrupt(unique: number): boolean {
    if (!this.late.interrupt(unique)) return true;
    let result = -sys.EINTR;
    for (let done = this.late.done(); done !== undefined; done = this.late.done()) {
      if (done[0] === unique) result = done[1];
      else if (!this.send(this.reply.finish(done[0], done[1]))) return false;
    }
    this.late.forget(unique);
    return this.send(this.reply.finish(unique, result));
  }

  private send(length: number): boolean {
    for (let sent = 0; sent < length; ) {
      const written = sys.write(this.fd, this.reply.bytes, sent, length - sent);
      if (written <= 0) return false;
      sent += written;
    }
    return true;
  }

  /** Moves what is not answered yet, from `at` on, to the start of a buffer in which a message of `size` bytes fits. */
  private makeRoom(at: number, size: number): void {
    const rest = new Uint8Array(this.input, at, this.filled - at);
    if (size > this.input.byteLength) {
      const larger = new ArrayBuffer(MOST_MESSAGE_BYTES);
      new Uint8Array(larger).set(rest);
      this.input = larger;
      this.view = new DataView(larger);
      this.request.moveTo(larger);
    } else if (at > 0 && rest.length > 0) {
      new Uint8Array(this.input).set(rest);
    }
    this.filled = rest.length;
  }
}
