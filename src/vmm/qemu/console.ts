/**
 * The guest's console, which QEMU keeps in a ring buffer (`ringbuf-read` in QEMU's QMP reference).
 *
 * Reading it empties the buffer, so what was read is kept here, up to a bound.
 */
import type { LogEnd } from "../../contracts/vm.ts";
import { lastLines, TAIL_BYTES } from "../common/last-words.ts";
import { CONSOLE_BYTES, CONSOLE_ID } from "./command-line.ts";
import type { QmpClient } from "./qmp/client.ts";

const READ_MS = 2000;

export class ConsoleTail {
  private text = "";
  private written = 0;

  constructor(private readonly qmp: QmpClient) {}

  /** The end of the console. What is new on it is missing if QEMU does not answer. */
  async read(): Promise<string> {
    await this.take();
    return lastLines(this.text.slice(-TAIL_BYTES));
  }

  /** All that is kept of it, as the guest has written it. */
  async end(): Promise<LogEnd> {
    await this.take();
    return { bytes: new TextEncoder().encode(this.text), written: this.written };
  }

  private async take(): Promise<void> {
    const args = { device: CONSOLE_ID, size: CONSOLE_BYTES, format: "utf8" };
    const fresh = await this.qmp.execute("ringbuf-read", args, READ_MS).catch(() => "");
    if (typeof fresh !== "string") return;
    this.text = (this.text + fresh).slice(-CONSOLE_BYTES);
    this.written += Buffer.byteLength(fresh);
  }
}
