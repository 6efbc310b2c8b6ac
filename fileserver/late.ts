/**
 * Requests that are answered later: a child waits for each, so that the server goes on (fcntl(2), F_OFD_SETLKW; flock(2)).
 *
 * A child shares its parent's open files, so a lock that it gets is its parent's. It writes the result into a pipe. When the
 * server ends, so do they. How many wait at a time is bounded.
 */
import * as sys from "sys";
import { cloneChild } from "../native/runtime/child.ts";
import { Malformed } from "./wire.ts";

/** Children at a time. */
const MOST_WAITING = 64;
/** Number of the request (64 bits), result (32), unused (32). */
const RECORD_BYTES = 16;
const TWO_32 = 2 ** 32;

export class Late {
  /** Number of each request → the child that waits for it. */
  private readonly children = new Map<number, number>();
  private readonly record = new DataView(new ArrayBuffer(RECORD_BYTES));
  private pipe: readonly [reader: number, writer: number] | undefined;

  /** @param connection not for the children */
  constructor(private readonly connection: number) {}

  get count(): number {
    return this.children.size;
  }

  /** Readable when one of them is done; -1 before there was any. */
  get reader(): number {
    return this.pipe?.[0] ?? -1;
  }

  /**
   * Has a child run `wait`, whose result is the request's. 0, or -errno if there can be no more of them. Throws Malformed for
   * the number of a request that waits: the child of that one would be forgotten, and not be counted any more.
   */
  start(unique: number, wait: () => number): number {
    if (this.children.has(unique)) throw new Malformed("two requests of one number");
    if (this.children.size >= MOST_WAITING) return -sys.ENOLCK;
    if (this.pipe === undefined) {
      const made = sys.pipe2(sys.O_NONBLOCK);
      if (typeof made === "number") return made;
      this.pipe = made;
    }
    const [, writer] = this.pipe;
    try {
      this.children.set(
        unique,
        cloneChild({}, () => this.wait(unique, wait, writer)),
      );
      return 0;
    } catch {
      // there can be no more processes
      return -sys.ENOLCK;
    }
  }

  /** In the child. */
  private wait(unique: number, wait: () => number, writer: number): number {
    sys.prctl(sys.PR_SET_PDEATHSIG, sys.SIGKILL);
    sys.close(this.connection);
    const result = wait();
    this.record.setUint32(0, unique % TWO_32, true);
    this.record.setUint32(4, Math.floor(unique / TWO_32), true);
    this.record.setInt32(8, result, true);
    sys.write(writer, this.record.buffer, 0, RECORD_BYTES);
    return 0;
  }

  /** The next request that is done, with its result; undefined if there is none now. */
  done(): readonly [unique: number, result: number] | undefined {
    if (this.pipe === undefined) return undefined;
    while (sys.read(this.pipe[0], this.record.buffer, 0, RECORD_BYTES) === RECORD_BYTES) {
      const unique = this.record.getUint32(4, true) * TWO_32 + this.record.getUint32(0, true);
      if (!this.forget(unique)) continue;
      return [unique, this.record.getInt32(8, true)];
    }
    return undefined;
  }

  /** Nobody wants this request's lock any more. True: answer it with EINTR, unless it is done. */
  interrupt(unique: number): boolean {
    const pid = this.children.get(unique);
    if (pid === undefined) return false;
    sys.kill(pid, sys.SIGKILL);
    return true;
  }

  /** Forgets a request, and reaps its child. */
  forget(unique: number): boolean {
    const pid = this.children.get(unique);
    if (pid === undefined) return false;
    this.children.delete(unique);
    sys.waitpid(pid, 0);
    return true;
  }
}
