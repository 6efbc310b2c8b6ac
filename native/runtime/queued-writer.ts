/**
 * Bounded, non-blocking writes to one descriptor: bytes that the kernel does not take at once wait here.
 *
 * The bound makes a slow reader slow its writer: `write` refuses a chunk beyond it, and `onDrain` says when to go on. A
 * chunk is accepted whole or not at all. A failure is reported once and drops the queue. The descriptor and its watch
 * belong to the caller.
 */
import * as sys from "sys";
import { failure } from "./check.ts";

const DEFAULT_LIMIT = 256 * 1024;
const NOTHING = new Uint8Array(0);
/** Shorter chunks that have to wait share a block: an object for each would cost hundreds of bytes for one. */
const SMALL_BYTES = 512;
const BLOCK_BYTES = 4096;

export interface QueuedWriterOptions {
  readonly fd: number;
  /** The loop's watch of the descriptor; level- or edge-triggered. */
  readonly watch: { setWritable(handler: (() => void) | null): void };
  /** Bytes that may wait. A single larger chunk is accepted while nothing waits. */
  readonly limit?: number;
  /** Called with the bytes that the kernel has just taken. */
  readonly onProgress?: (written: number) => void;
  /** Called when at most half of the limit waits, after more than that or a refusal. */
  readonly onDrain?: () => void;
  /** Called once when a write fails. Nothing is accepted afterwards until `reset`. */
  readonly onError?: (error: Error) => void;
}

export class QueuedWriter {
  private readonly options: QueuedWriterOptions;
  private readonly limit: number;
  private queue: Uint8Array[] = [];
  private head = 0;
  /** Bytes of the first chunk that are written already. */
  private offset = 0;
  private pendingBytes = 0;
  /** Of the last chunk, if it is one that others have been added to. */
  private block: ArrayBufferLike = NOTHING.buffer;
  private waiting = false;
  private thirsty = false;
  private failed = false;
  private ending: (() => void) | undefined;

  constructor(options: QueuedWriterOptions) {
    this.options = options;
    this.limit = options.limit ?? DEFAULT_LIMIT;
  }

  /** Bytes that are waiting. */
  get pending(): number {
    return this.pendingBytes;
  }

  /** Whether a writer that can choose should go on: less than half of the limit waits. */
  get roomy(): boolean {
    return !this.failed && this.pendingBytes < this.limit / 2;
  }

  /** Writes or queues a chunk, which the caller must not change afterwards. False if refused: wait for `onDrain`. */
  write(chunk: Uint8Array): boolean {
    if (this.failed || this.ending !== undefined) return false;
    if (this.pendingBytes > 0 && this.pendingBytes + chunk.byteLength > this.limit) {
      this.thirsty = true;
      return false;
    }
    if (chunk.byteLength === 0) return true;
    if (this.pendingBytes === 0 || chunk.byteLength >= SMALL_BYTES) this.queue.push(chunk);
    else this.share(chunk);
    this.pendingBytes += chunk.byteLength;
    if (!this.waiting) this.flush();
    if (this.pendingBytes >= this.limit / 2) this.thirsty = true;
    return true;
  }

  /** Calls `done` when everything has been written, or has failed. Accepts nothing more. */
  end(done: () => void): void {
    this.ending = done;
    if (this.pendingBytes === 0 || this.failed) this.finish();
  }

  /** Drops what waits and starts anew, because the other end has gone and may come back. */
  reset(): void {
    this.clear();
    this.failed = false;
    this.thirsty = false;
    this.wait(false);
  }

  /** Writes until the queue is empty or EAGAIN: before EAGAIN, an edge-triggered watch would not call again. */
  private flush(): void {
    let written = 0;
    for (;;) {
      const chunk = this.queue[this.head];
      if (chunk === undefined) break;
      const length = chunk.byteLength - this.offset;
      const start = chunk.byteOffset + this.offset;
      const result = sys.write(this.options.fd, chunk.buffer as ArrayBuffer, start, length);
      if (result === -sys.EAGAIN) break;
      if (result < 0) {
        this.fail(result);
        return;
      }
      written += result;
      this.pendingBytes -= result;
      this.offset += result;
      if (result === length) this.shift();
    }
    this.wait(this.pendingBytes > 0);
    if (written > 0) this.options.onProgress?.(written);
    if (this.pendingBytes === 0) this.finish();
    if (this.thirsty && this.pendingBytes <= this.limit / 2) {
      this.thirsty = false;
      this.options.onDrain?.();
    }
  }

  /** Queues a copy behind the one before, in the same block if there is room. */
  private share(chunk: Uint8Array): void {
    const last = this.queue.length - 1;
    const tail = this.queue[last];
    const used = tail?.buffer === this.block ? tail.byteLength : BLOCK_BYTES;
    if (used + chunk.byteLength > BLOCK_BYTES) {
      this.block = new ArrayBuffer(BLOCK_BYTES);
      const first = new Uint8Array(this.block, 0, chunk.byteLength);
      first.set(chunk);
      this.queue.push(first);
      return;
    }
    const longer = new Uint8Array(this.block, 0, used + chunk.byteLength);
    longer.set(chunk, used);
    this.queue[last] = longer;
  }

  private shift(): void {
    this.offset = 0;
    // so that a written chunk can be freed before the array is cut
    this.queue[this.head++] = NOTHING;
    // cut now and then: shifting an array of many small chunks one by one would be quadratic
    if (this.head === this.queue.length) {
      this.queue = [];
      this.head = 0;
    } else if (this.head > 32 && this.head * 2 > this.queue.length) {
      this.queue = this.queue.slice(this.head);
      this.head = 0;
    }
  }

  private wait(on: boolean): void {
    if (on === this.waiting) return;
    this.waiting = on;
    this.options.watch.setWritable(on ? () => this.flush() : null);
  }

  private fail(result: number): void {
    this.failed = true;
    this.clear();
    this.wait(false);
    this.finish();
    this.options.onError?.(failure(result, "LinkClosed", "write", `fd ${this.options.fd}`));
  }

  private finish(): void {
    const done = this.ending;
    if (done === undefined) return;
    this.ending = () => undefined;
    done();
  }

  private clear(): void {
    this.queue = [];
    this.head = 0;
    this.offset = 0;
    this.pendingBytes = 0;
  }
}
