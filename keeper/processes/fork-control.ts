/**
 * The keeper's end of the socket by which a process is asked to fork (native/fork/vmm-fork.c says what goes over it).
 *
 * Requests are answered in their order, each with the fork's pid or an error. The process at the other end may break or
 * end at any time: whoever waits then hears of it, and the socket is closed. It knows nothing of what is forked.
 */
import * as sys from "sys";
import { check, checkValue } from "../../native/runtime/check.ts";
import type { EventLoop, Watch } from "../../native/runtime/event-loop.ts";
import { readText } from "../../native/runtime/files.ts";
import { encode } from "../../native/runtime/text-codec.ts";
import { type BlazarError, blazarError } from "../../src/contracts/errors.ts";

const ANSWER_BYTES = 4;
/** A fork takes milliseconds; a process that is alive but does not listen must not hold up whoever asks. */
const ANSWER_WITHIN_MS = 5_000;
/** As in native/fork/vmm-fork.c. */
const MAX_REQUEST_BYTES = 16384;

interface Waiter {
  resolve(pid: number): void;
  reject(error: BlazarError): void;
}

export class ForkControl {
  private readonly fd: number;
  private readonly loop: EventLoop;
  private readonly watch: Watch;
  private readonly waiting: Waiter[] = [];
  private readonly answer = new Uint8Array(ANSWER_BYTES);
  private length = 0;
  private closed = false;

  /** Takes over the descriptor. */
  constructor(loop: EventLoop, fd: number) {
    this.fd = fd;
    this.loop = loop;
    this.watch = loop.watch(fd, { readable: () => this.read() });
  }

  /** The child's end and the keeper's own. */
  static pair(): { readonly child: number; readonly own: number } {
    const [child, own] = checkValue(sys.socketpair(sys.O_NONBLOCK), "make a socket pair for forks");
    return { child, own };
  }

  /** Takes over the descriptors and sends them along. Resolves with the fork's pid. Throws InvalidArgument, HostResource. */
  fork(words: readonly string[], descriptors: readonly number[]): Promise<number> {
    try {
      this.send(words, descriptors);
    } finally {
      for (const fd of descriptors) sys.close(fd);
    }
    return new Promise((resolve, reject) => {
      const waiter = { resolve, reject };
      this.waiting.push(waiter);
      this.loop.setTimer(ANSWER_WITHIN_MS, () => {
        if (this.waiting.includes(waiter)) this.close("the process does not answer");
      });
    });
  }

  private send(words: readonly string[], descriptors: readonly number[]): void {
    const body = encode(words.map((word) => `${word}\0`).join(""));
    if (words.some((word) => word.includes("\0")) || body.length > MAX_REQUEST_BYTES) {
      const reason = "a word of the request has a NUL in it, or there is too much of it";
      throw blazarError("InvalidArgument", "fork a process", reason);
    }
    if (this.closed) throw broken("the process does not listen any more");
    const message = new Uint8Array(ANSWER_BYTES + body.length);
    new DataView(message.buffer).setUint32(0, body.length, true);
    message.set(body, ANSWER_BYTES);
    const written = sys.sendFds(this.fd, message.buffer, 0, message.length, descriptors);
    // its end is seen by whoever comes first: this call, or the one that waits for an answer
    if (written === -sys.EPIPE || written === -sys.ECONNRESET) {
      this.close();
      throw broken("the process has gone away");
    }
    if (check(written, "ask a process to fork itself") !== message.length) {
      this.close();
      throw broken("the process does not read what it is asked");
    }
  }

  close(reason = "the process has gone away"): void {
    if (this.closed) return;
    this.closed = true;
    this.watch.stop();
    sys.close(this.fd);
    for (const waiter of this.waiting.splice(0)) waiter.reject(broken(reason));
  }

  private read(): void {
    const size = sys.read(this.fd, this.answer.buffer, this.length, ANSWER_BYTES - this.length);
    if (size === -sys.EAGAIN) return;
    if (size <= 0) return this.close();
    this.length += size;
    if (this.length < ANSWER_BYTES) return;
    this.length = 0;
    const answer = new DataView(this.answer.buffer).getInt32(0, true);
    const waiter = this.waiting.shift();
    if (waiter === undefined) return this.close();
    if (answer > 0) waiter.resolve(answer);
    else waiter.reject(broken(`it says errno ${-answer}`));
  }
}

/** The parent of a process, or undefined if there is no such process (proc_pid_stat(5), field 4). */
export function parentOf(pid: number): number | undefined {
  let stat: string;
  try {
    stat = readText(`/proc/${pid}/stat`);
  } catch {
    return undefined;
  }
  return Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]);
}

function broken(reason: string): BlazarError {
  return blazarError("HostResource", "fork a process", reason);
}
