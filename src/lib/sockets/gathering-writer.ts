/**
 * Writes to a socket whose other end may stop reading: many small pieces wait as few large ones.
 *
 * Each write that waits in a socket costs Node some 500 bytes beside its own. Whoever has a protocol of small frames, and a
 * reader that it cannot trust, would be made to hold many times what it has bounded.
 */
import type { Writable } from "node:stream";

const BLOCK_BYTES = 64 * 1024;

export class GatheringWriter {
  private blocks: Uint8Array[] = [];
  /** Bytes of the last block that are in use. */
  private used = 0;
  private gathered = 0;
  private congested = false;

  /** @param onDrain nothing waits here any more */
  constructor(
    private readonly socket: Pick<Writable, "write" | "writableLength" | "on">,
    private readonly onDrain: () => void,
  ) {
    socket.on("drain", () => this.drained());
  }

  /** Bytes that the kernel has not taken. */
  get waiting(): number {
    return this.socket.writableLength + this.gathered;
  }

  /** Takes the bytes over if there is no jam, else a copy. False asks to wait for `onDrain`. */
  write(bytes: Uint8Array): boolean {
    if (this.congested) this.gather(bytes);
    else this.congested = !this.socket.write(bytes);
    return !this.congested;
  }

  private gather(bytes: Uint8Array): void {
    this.gathered += bytes.length;
    for (let at = 0; at < bytes.length; ) {
      let block = this.blocks.at(-1);
      if (block === undefined || this.used === block.length) {
        block = new Uint8Array(BLOCK_BYTES);
        this.blocks.push(block);
        this.used = 0;
      }
      const part = bytes.subarray(at, at + block.length - this.used);
      block.set(part, this.used);
      this.used += part.length;
      at += part.length;
    }
  }

  private drained(): void {
    this.congested = false;
    while (!this.congested && this.blocks.length > 0) {
      const block = this.blocks.shift() as Uint8Array;
      const bytes = this.blocks.length === 0 ? block.subarray(0, this.used) : block;
      this.gathered -= bytes.length;
      this.congested = !this.socket.write(bytes);
    }
    if (!this.congested) this.onDrain();
  }
}
