/**
 * Talks to the kernel over a netlink socket: requests with their answers, and dumps. netlink(7).
 *
 * The socket is whoever's: Node's worker has one by koffi, the guest agent by its module of system calls. The kernel answers
 * at once, so that a blocking socket does. An answer is data, because some errnos are no failure to their caller.
 */
import { blazarError } from "../../contracts/errors.ts";
import {
  NLM_F_ACK,
  NLM_F_ACK_TLVS,
  NLM_F_CAPPED,
  NLM_F_DUMP,
  NLM_F_DUMP_INTR,
  NLM_F_REQUEST,
  NLMSG_DONE,
  NLMSG_ERROR,
  NLMSG_NOOP,
  NLMSG_OVERRUN,
} from "./constants.ts";
import {
  Attributes,
  fixedPart,
  MESSAGE_HEADER_BYTES,
  malformed,
  messagesOf,
  type NetlinkMessage,
} from "./reader.ts";
import type { NetlinkRequest } from "./writer.ts";

/** What a datagram of the kernel takes at most: a dump's are as long as the reader's buffer, up to 32 KiB. */
export const DATAGRAM_BYTES = 64 * 1024;
/** A dump that a change came into is repeated so often. */
const DUMP_TRIES = 8;
/** More than any network here has: whoever sends more is no kernel that we want to follow. */
const MOST_MESSAGES = 65_536;
/** Requests that are sent at once: their answers fit into a socket's buffer. */
const BATCH = 32;
const NLMSGERR_ATTR_MSG = 1;

/** A socket of NETLINK_ROUTE, bound, with NETLINK_EXT_ACK and NETLINK_CAP_ACK. Both methods throw what the system says. */
export interface NetlinkSocket {
  send(bytes: Uint8Array): void;
  /** The next datagram, up to {@link DATAGRAM_BYTES}; valid until the next call. Waits for it. */
  receive(): Uint8Array;
}

/** What the kernel says to a request: 0, or an errno and, if it has them, words. */
export interface NetlinkAnswer {
  readonly errno: number;
  readonly text: string | undefined;
}

export class NetlinkExchange {
  private sequence = 0;

  constructor(private readonly socket: NetlinkSocket) {}

  /** Sends one request and waits for its answer. */
  ask(request: NetlinkRequest): NetlinkAnswer {
    const [answer] = this.askAll([request]);
    return answer ?? malformed("no answer");
  }

  /** Asks for one object: the message that came before the answer. */
  get(request: NetlinkRequest): {
    readonly answer: NetlinkAnswer;
    readonly message: NetlinkMessage | undefined;
  } {
    const sequence = this.nextSequence();
    this.socket.send(encodeMessage(request, request.flags | NLM_F_ACK, sequence));
    let message: NetlinkMessage | undefined;
    for (;;) {
      for (const one of messagesOf(this.socket.receive().slice())) {
        if (one.sequence !== sequence) continue;
        if (one.type === NLMSG_ERROR) return { answer: answerOf(one), message };
        message = one;
      }
    }
  }

  /** Sends requests, which the kernel does in order. A failure does not stop those that follow. */
  askAll(requests: readonly NetlinkRequest[]): NetlinkAnswer[] {
    const answers: NetlinkAnswer[] = [];
    for (let at = 0; at < requests.length; at += BATCH) {
      const batch = requests.slice(at, at + BATCH);
      const first = this.sequence + 1;
      const messages = batch.map((request) =>
        encodeMessage(request, request.flags | NLM_F_ACK, this.nextSequence()),
      );
      this.socket.send(joined(messages));
      answers.push(...this.collect(first, batch.length));
    }
    return answers;
  }

  /**
   * As {@link askAll}, but the kernel answers only what fails, and the last one. Gives the answers of those that failed, by
   * their places: for whom each answer costs.
   */
  failuresOf(requests: readonly NetlinkRequest[]): Map<number, NetlinkAnswer> {
    const failures = new Map<number, NetlinkAnswer>();
    for (let at = 0; at < requests.length; at += BATCH) {
      const batch = requests.slice(at, at + BATCH);
      const last = batch.length - 1;
      const first = (this.sequence + 1) >>> 0;
      const messages = batch.map((request, index) =>
        encodeMessage(request, request.flags | (index === last ? NLM_F_ACK : 0), this.nextSequence()),
      );
      this.socket.send(joined(messages));
      for (let place = -1; place !== last; ) {
        for (const message of messagesOf(this.socket.receive())) {
          const found = (message.sequence - first) >>> 0;
          if (message.type !== NLMSG_ERROR || found > last) continue;
          place = found;
          const answer = answerOf(message);
          if (answer.errno !== 0) failures.set(at + place, answer);
        }
      }
    }
    return failures;
  }

  /**
   * As {@link ask}, for a request that keeps the kernel busy for long.
   * @param send sends bytes, and resolves when the kernel has done what they ask for
   */
  async askLater(
    request: NetlinkRequest,
    send: (bytes: Uint8Array) => Promise<void>,
  ): Promise<NetlinkAnswer> {
    const sequence = this.nextSequence();
    await send(encodeMessage(request, request.flags | NLM_F_ACK, sequence));
    const [answer] = this.collect(sequence, 1);
    return answer ?? malformed("no answer");
  }

  /**
   * All objects that a request asks for.
   * @throws BlazarError HostResource if the kernel refuses, or if the dump never comes without a change in the middle
   */
  dump(request: NetlinkRequest): NetlinkMessage[] {
    for (let tries = 0; tries < DUMP_TRIES; tries++) {
      const messages = this.tryDump(request);
      if (messages !== undefined) return messages;
    }
    throw dumpFailed(`it changed ${DUMP_TRIES} times while it was read`);
  }

  private nextSequence(): number {
    this.sequence = (this.sequence + 1) >>> 0;
    return this.sequence;
  }

  private collect(first: number, count: number): NetlinkAnswer[] {
    const answers: NetlinkAnswer[] = [];
    while (answers.length < count) {
      for (const message of messagesOf(this.socket.receive())) {
        if (message.type !== NLMSG_ERROR) continue;
        // an answer to an earlier request, which was given up
        if (message.sequence !== (first + answers.length) >>> 0) continue;
        answers.push(answerOf(message));
      }
    }
    return answers;
  }

  /** Undefined if a change came into the dump. */
  private tryDump(request: NetlinkRequest): NetlinkMessage[] | undefined {
    const sequence = this.nextSequence();
    this.socket.send(encodeMessage(request, request.flags | NLM_F_DUMP, sequence));
    const found: NetlinkMessage[] = [];
    let whole = true;
    for (;;) {
      // kept beyond the next datagram
      for (const message of messagesOf(this.socket.receive().slice())) {
        if (message.sequence !== sequence || message.type === NLMSG_NOOP) continue;
        if (message.flags & NLM_F_DUMP_INTR) whole = false;
        if (message.type === NLMSG_OVERRUN) throw dumpFailed("messages were lost");
        if (message.type === NLMSG_DONE || message.type === NLMSG_ERROR) {
          const { errno, text } = endOf(message);
          if (errno !== 0) throw dumpFailed(text ?? `errno ${errno}`);
          return whole ? found : undefined;
        }
        if (found.push(message) > MOST_MESSAGES) throw dumpFailed(`more than ${MOST_MESSAGES} objects`);
      }
    }
  }
}

function dumpFailed(reason: string): Error {
  return blazarError("HostResource", "read the kernel's network", reason);
}

/** A whole message. */
export function encodeMessage(request: NetlinkRequest, flags: number, sequence: number): Uint8Array {
  const bytes = new Uint8Array(MESSAGE_HEADER_BYTES + request.body.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, bytes.length, true);
  view.setUint16(4, request.type, true);
  view.setUint16(6, flags | NLM_F_REQUEST, true);
  view.setUint32(8, sequence, true);
  bytes.set(request.body, MESSAGE_HEADER_BYTES);
  return bytes;
}

/** One datagram; each message begins at a multiple of four. */
function joined(messages: readonly Uint8Array[]): Uint8Array {
  const padded = (length: number) => (length + 3) & -4;
  const whole = new Uint8Array(messages.reduce((sum, { length }) => sum + padded(length), 0));
  let at = 0;
  for (const message of messages) {
    whole.set(message, at);
    at += padded(message.length);
  }
  return whole;
}

/** Reads an NLMSG_ERROR, which is also how success is told. Throws FrameMalformed. */
export function answerOf({ flags, body }: NetlinkMessage): NetlinkAnswer {
  const view = fixedPart(body, 4 + MESSAGE_HEADER_BYTES);
  const errno = 0 - view.getInt32(0, true);
  if (!(flags & NLM_F_ACK_TLVS)) return { errno, text: undefined };
  const request = flags & NLM_F_CAPPED ? MESSAGE_HEADER_BYTES : view.getUint32(4, true);
  const start = 4 + ((request + 3) & -4);
  if (start > body.length) malformed("an answer that is shorter than its request");
  return { errno, text: new Attributes(body, start).text(NLMSGERR_ATTR_MSG) };
}

/** How a dump ended: an NLMSG_DONE has the errno without the request. */
function endOf(message: NetlinkMessage): NetlinkAnswer {
  if (message.type === NLMSG_ERROR) return answerOf(message);
  if (message.body.length < 4) return { errno: 0, text: undefined };
  const errno = 0 - fixedPart(message.body, 4).getInt32(0, true);
  const text =
    message.flags & NLM_F_ACK_TLVS ? new Attributes(message.body, 4).text(NLMSGERR_ATTR_MSG) : undefined;
  return { errno, text };
}
