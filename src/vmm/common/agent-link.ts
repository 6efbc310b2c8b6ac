/**
 * The host's end of the agent's port: a unix socket as a {@link ByteLink}.
 *
 * Bytes that come before the consumer is set stay in the kernel. Bytes that a guest does not read are kept up to a bound, and
 * then end the link: the writer has ignored `false` for long. It knows nothing of frames.
 */
import type net from "node:net";
import { blazarError } from "../../contracts/errors.ts";
import type { ByteLink } from "../../contracts/vm.ts";
import { GatheringWriter } from "../../lib/sockets/gathering-writer.ts";

/** Bytes that may wait for a guest that does not read. */
export const MAX_QUEUED_BYTES = 16 * 1024 * 1024;

type Handlers = Parameters<ByteLink["open"]>[0];

export class AgentLink implements ByteLink {
  private readonly socket: net.Socket;
  private readonly writer: GatheringWriter;
  private handlers: Handlers | undefined;
  private closed = false;
  private error: Error | undefined;
  private readonly onClosed: () => void;

  /** Takes the socket over, whose bytes come by {@link receive}. `onClosed` comes once, when it is gone. */
  constructor(socket: net.Socket, onClosed: () => void) {
    this.socket = socket;
    this.onClosed = onClosed;
    this.writer = new GatheringWriter(socket, () => this.handlers?.onDrain?.());
    socket.pause();
    socket.on("error", (error) => {
      this.error ??= error;
    });
    socket.on("close", () => this.ended());
  }

  write(bytes: Uint8Array): boolean {
    if (this.closed || this.socket.destroyed) return false;
    if (this.writer.waiting + bytes.length > MAX_QUEUED_BYTES) {
      const reason = `it has not read ${this.writer.waiting} bytes`;
      this.error ??= blazarError("ResourceExhausted", "send to the guest's agent", reason);
      this.socket.destroy();
      return false;
    }
    return this.writer.write(bytes);
  }

  open(handlers: Handlers): void {
    this.handlers = handlers;
    if (this.closed) return queueMicrotask(() => this.tell());
    this.socket.on("end", () => this.socket.destroy());
    this.socket.resume();
  }

  /** For whoever reads the socket (readingInPlace). */
  receive(bytes: Uint8Array): void {
    this.handlers?.onData(bytes);
  }

  pause(): void {
    this.socket.pause();
  }

  resume(): void {
    this.socket.resume();
  }

  close(): void {
    this.socket.destroy();
  }

  private ended(): void {
    this.closed = true;
    this.onClosed();
    this.tell();
  }

  private tell(): void {
    const handlers = this.handlers;
    this.handlers = undefined;
    handlers?.onClose(this.error);
  }
}
