/**
 * The stdio of a fake keeper: byte queues in place of FIFOs, with the same offsets, acks and credit.
 *
 * A test is containerd's side: it reads `output(…).text`, stalls a reader by `hold()`, writes by `write`.
 */

import { type BlazarError, blazarError } from "../../../src/contracts/errors.ts";
import type { OutputStream, StdioHandlers, StdioPaths } from "../../../src/contracts/keeper.ts";
import { DEFAULT_WINDOW_BYTES } from "../../../src/protocol/wire/stream.ts";

const WINDOW_BYTES = DEFAULT_WINDOW_BYTES;

/** One output stream and the reader at its far end. */
export class FakeOutput {
  private readonly chunks: Uint8Array[] = [];
  private received = 0;
  private consumed = 0;
  private ended = false;
  private held = false;

  constructor(
    private readonly name: OutputStream,
    private readonly handlers: () => StdioHandlers | undefined,
  ) {}

  /** What has reached the FIFO. */
  get text(): string {
    return Buffer.concat(this.chunks).toString();
  }

  /** True once the FIFO is closed: containerd reads the end of file. */
  get closed(): boolean {
    return this.ended && !this.held;
  }

  /** The reader stalls: nothing is acknowledged any more. */
  hold(): void {
    this.held = true;
  }

  /** The reader goes on. */
  release(): void {
    this.held = false;
    this.advance();
  }

  data(offset: number, bytes: Uint8Array): void {
    if (offset > this.received) throw this.unexpected(`offset ${offset}, expected ${this.received}`);
    if (offset + bytes.length > this.consumed + WINDOW_BYTES) throw this.unexpected("it passes the credit");
    const fresh = bytes.subarray(Math.min(bytes.length, this.received - offset));
    if (fresh.length === 0) return;
    if (this.ended) throw this.unexpected("bytes after the end");
    this.chunks.push(fresh.slice());
    this.received += fresh.length;
    this.advance();
  }

  end(offset: number): void {
    if (this.ended) return;
    if (offset !== this.received) throw this.unexpected(`end at ${offset}, expected ${this.received}`);
    this.ended = true;
    this.advance();
  }

  /** Acknowledges, in a microtask: the real keeper answers later, too. */
  report(): void {
    queueMicrotask(() => this.handlers()?.acknowledged(this.name, this.consumed, WINDOW_BYTES));
  }

  private advance(): void {
    if (this.held) return;
    this.consumed = this.received + (this.ended ? 1 : 0);
    this.report();
  }

  private unexpected(reason: string): BlazarError {
    return blazarError("FrameUnexpected", "relay output", reason, { subject: this.name });
  }
}

/** The three streams of one process. */
export class FakeStdio {
  private readonly outputs = new Map<OutputStream, FakeOutput>();
  private handlers: StdioHandlers | undefined;
  private up = true;
  private input = Buffer.alloc(0);
  private inputEnded = false;
  private sent = 0;
  private started = false;
  private limit = 0;
  /** Outputs that had ended when an earlier daemon died. */
  private ended: OutputStream[] = [];
  /** True once `close` has been called. */
  closed = false;

  constructor(
    private readonly id: string,
    readonly paths: StdioPaths,
  ) {
    for (const name of ["stdout", "stderr"] as const) {
      if (paths[name] !== "") this.outputs.set(name, new FakeOutput(name, () => this.reachable()));
    }
  }

  output(name: OutputStream): FakeOutput {
    const output = this.outputs.get(name);
    if (output !== undefined) return output;
    throw blazarError("FrameUnexpected", "relay stdio", `it has no ${name}`, { subject: this.id });
  }

  /** containerd writes to the stdin FIFO. */
  write(bytes: Uint8Array | string): void {
    this.input = Buffer.concat([this.input, Buffer.from(bytes)]);
    this.flush();
  }

  requireSamePaths(paths: StdioPaths): void {
    const same = (["stdin", "stdout", "stderr"] as const).every((name) => paths[name] === this.paths[name]);
    if (same) return;
    throw blazarError("InvalidArgument", "open stdio", "it is open with other paths", { subject: this.id });
  }

  bind(handlers: StdioHandlers): void {
    this.handlers = handlers;
    this.started = false;
    this.attached();
    for (const name of this.ended) handlers.ended?.(name);
  }

  unbind(): void {
    this.ended = [...this.outputs].filter(([, output]) => output.closed).map(([name]) => name);
    this.handlers = undefined;
    this.started = false;
  }

  attached(): void {
    this.up = true;
    this.handlers?.attached?.();
    for (const output of this.outputs.values()) output.report();
    this.flush();
  }

  detached(): void {
    this.up = false;
    this.handlers?.detached?.();
  }

  acknowledgeInput(offset: number, window: number): void {
    if (offset > this.input.length + (this.inputEnded ? 1 : 0)) {
      const reason = `an ack of offset ${offset}, ${this.sent} were sent`;
      throw blazarError("FrameUnexpected", "relay input", reason, { subject: "stdin" });
    }
    if (!this.started) this.sent = offset;
    this.started = true;
    this.limit = Math.max(this.limit, offset + window);
    this.flush();
  }

  closeInput(): void {
    this.inputEnded = true;
    this.flush();
  }

  close(): void {
    this.closed = true;
    this.handlers = undefined;
  }

  /** Its keeper has died. */
  lost(): void {
    const { handlers } = this;
    this.close();
    handlers?.lost?.();
  }

  private reachable(): StdioHandlers | undefined {
    return this.up ? this.handlers : undefined;
  }

  /** Hands over what the credit allows, in a microtask. */
  private flush(): void {
    queueMicrotask(() => {
      const handlers = this.reachable();
      if (handlers === undefined || !this.started) return;
      const bytes = this.input.subarray(this.sent, Math.min(this.input.length, this.limit));
      const offset = this.sent;
      this.sent += bytes.length;
      if (bytes.length > 0) handlers.input(offset, bytes);
      if (this.inputEnded && this.sent === this.input.length) {
        this.sent += 1;
        handlers.inputEnd(this.input.length);
      }
    });
  }
}
