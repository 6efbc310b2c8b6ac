/**
 * The connection to one guest: takes messages out of a byte stream, has each answered, in order, and sends the reply.
 *
 * It reads and writes with blocking calls: nobody else is served by this process. A message that no client sends ends it,
 * and so does the other end. The buffers are used again for each message.
 */
import * as sys from "sys";
import { MOST_MESSAGE_BYTES } from "./operations/beginning.ts";
import { OPERATIONS, RLERROR, TVERSION } from "./operations/table.ts";
import type { Session } from "./session.ts";
import { HEADER_BYTES, Malformed, Reply, Request } from "./wire.ts";

/** Requests of a guest that only reads are short. */
const FIRST_INPUT_BYTES = 64 * 1024;
/** How often descriptors are looked through for those that are of no use any more. */
const GROW_MS = 5_000;
/** Longest message before there is an agreement. */
const FIRST_MESSAGE_BYTES = 8192;

export class Connection {
  private input = new ArrayBuffer(FIRST_INPUT_BYTES);
  private view = new DataView(this.input);
  private readonly request = new Request(this.input);
  private readonly reply: Reply;
  private filled = 0;
  private growAt = 0;
  /** Rounds in which the guest has said nothing. */
  private silent = 0;

  /** @param fd a blocking stream socket */
  constructor(
    private readonly fd: number,
    private readonly session: Session,
  ) {
    this.reply = new Reply(new ArrayBuffer(MOST_MESSAGE_BYTES));
  }

  /** Serves until the guest has gone. Throws Malformed. */
  serve(): void {
    sys.receiveTimeout(this.fd, GROW_MS);
    for (;;) {
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

  /** Lets go of what the guest has not used for a while; after two silent rounds there is nothing left. */
  private grow(): void {
    this.session.tree.grow();
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
      if (size < HEADER_BYTES || size > (this.session.messageBytes || FIRST_MESSAGE_BYTES))
        throw new Malformed(`a message of ${size} bytes`);
      if (size > this.filled - at) {
        this.makeRoom(at, size);
        return true;
      }
      const length = this.answer(at, at + size);
      if (!this.send(length)) return false;
      at += size;
    }
    this.makeRoom(at, 0);
    return true;
  }

  /** The length of the reply. */
  private answer(at: number, end: number): number {
    const { request, reply, session } = this;
    const type = this.view.getUint8(at + 4);
    const tag = this.view.getUint16(at + 5, true);
    if (session.messageBytes === 0 && type !== TVERSION) throw new Malformed("a message before the version");
    request.begin(at + HEADER_BYTES, end);
    reply.begin(session.messageBytes || FIRST_MESSAGE_BYTES);
    const operation = OPERATIONS.get(type);
    const result = operation === undefined ? -sys.EOPNOTSUPP : operation(session, request, reply);
    if (result >= 0) return reply.finish(type + 1, tag);
    reply.begin(FIRST_MESSAGE_BYTES);
    reply.u32(-result);
    return reply.finish(RLERROR, tag);
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
