/**
 * A {@link QueuedWriter} that accepts everything and says how much of it the kernel has taken.
 *
 * For streams whose bound is kept elsewhere: by credit (FIFOs) or by reading less (Task connections).
 */

import type { Watch } from "../native/runtime/event-loop.ts";
import { QueuedWriter } from "../native/runtime/queued-writer.ts";

export interface ProgressWriterOptions {
  readonly watch: Watch;
  /** `count` more bytes are written. */
  readonly onProgress: (count: number) => void;
  /** Nothing can be written any more; what waited is dropped and counts as written. */
  readonly onError: (error: Error) => void;
}

export class ProgressWriter {
  readonly #options: ProgressWriterOptions;
  readonly #writer: QueuedWriter;
  #accepted = 0;
  #reported = 0;
  #failed = false;

  constructor(options: ProgressWriterOptions) {
    this.#options = options;
    const { watch } = options;
    this.#writer = new QueuedWriter({
      fd: watch.fd,
      limit: Number.MAX_SAFE_INTEGER,
      watch: {
        setWritable: (handler) =>
          watch.setWritable(
            handler === null
              ? null
              : () => {
                  handler();
                  this.#progress();
                },
          ),
      },
      onError: (error) => {
        this.#failed = true;
        options.onError(error);
      },
    });
  }

  /** Bytes that wait. */
  get pending(): number {
    return this.#writer.pending;
  }

  /** Takes a chunk, which belongs to the writer from then on. */
  write(chunk: Uint8Array): void {
    this.#accepted += chunk.length;
    if (!this.#failed) this.#writer.write(chunk);
    this.#progress();
  }

  /** Calls `done` once everything is written (or has failed). Nothing may be written afterwards. */
  end(done: () => void): void {
    this.#writer.end(() => {
      this.#progress();
      done();
    });
  }

  #progress(): void {
    const written = this.#accepted - this.#writer.pending;
    const count = written - this.#reported;
    this.#reported = written;
    if (count > 0) this.#options.onProgress(count);
  }
}
