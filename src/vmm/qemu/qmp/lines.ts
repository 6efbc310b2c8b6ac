/**
 * Cuts QMP's byte stream into lines (messages end in CRLF or LF), without ever holding more than one, however the bytes are cut.
 *
 * A line beyond the limit ends in QmpFailed: nothing that the driver asks for is answered by as much.
 */
import { blazarError } from "../../../contracts/errors.ts";
import { HeldBytes } from "../../../protocol/wire/held-bytes.ts";

/** Longest line: 64 KiB of console, each byte escaped as \uXXXX, and its frame. */
export const MAX_QMP_LINE_BYTES = 512 * 1024;

const LINE_FEED = 10;

export class QmpLines {
  private readonly held = new HeldBytes();

  /** Calls `onLine` for each whole, non-empty line. Throws QmpFailed. */
  push(chunk: Buffer, onLine: (line: string) => void): void {
    let start = 0;
    for (let end = chunk.indexOf(LINE_FEED); end >= 0; end = chunk.indexOf(LINE_FEED, start)) {
      this.keep(chunk.subarray(start, end));
      start = end + 1;
      const line = this.take();
      if (line !== "") onLine(line);
    }
    this.keep(chunk.subarray(start));
  }

  private keep(part: Buffer): void {
    if (part.length === 0) return;
    if (this.held.length + part.length > MAX_QMP_LINE_BYTES) {
      const reason = `QEMU sent a line of more than ${MAX_QMP_LINE_BYTES} bytes`;
      throw blazarError("QmpFailed", "use QEMU's control connection", reason);
    }
    this.held.add(part);
  }

  private take(): string {
    const { buffer, byteOffset, length } = this.held.take();
    return Buffer.from(buffer, byteOffset, length).toString("utf8").trim();
  }
}
