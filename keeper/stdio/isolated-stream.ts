/**
 * A stream's handler whose failures stay its own.
 *
 * The daemon relays offsets that a guest has chosen. A frame that breaks its stream's rules is dropped, and the first is
 * logged; a broken frame of the daemon's own would close the link.
 */
import type { Logger } from "../../native/runtime/log.ts";
import type { StreamHandler } from "../../src/protocol/wire/peer.ts";

export class IsolatedStream implements StreamHandler {
  private reported = false;

  constructor(
    private readonly stream: number,
    private readonly inner: StreamHandler,
    private readonly log: Logger,
  ) {}

  data(offset: number, bytes: Uint8Array): void {
    try {
      this.inner.data?.(offset, bytes);
    } catch (error) {
      this.report(error);
    }
  }

  end(offset: number): void {
    try {
      this.inner.end?.(offset);
    } catch (error) {
      this.report(error);
    }
  }

  acknowledged(offset: number, window: number): void {
    try {
      this.inner.acknowledged?.(offset, window);
    } catch (error) {
      this.report(error);
    }
  }

  attached(): void {
    this.inner.attached?.();
  }

  detached(): void {
    this.inner.detached?.();
  }

  private report(error: unknown): void {
    if (this.reported) return;
    this.reported = true;
    this.log.error("a stream broke the protocol: its frame is dropped", { stream: this.stream, error });
  }
}
