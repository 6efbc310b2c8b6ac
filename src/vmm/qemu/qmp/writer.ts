/**
 * What goes out on a QMP connection: lines, and lines with the descriptor of a file (unix(7), SCM_RIGHTS).
 *
 * A descriptor is sent by a worker, past Node. So what Node still holds is written first, and later lines wait until the
 * worker is done. QEMU keeps one descriptor at a time for the command that takes it.
 */
import { fstatSync } from "node:fs";
import type net from "node:net";
import { type BlazarError, blazarError } from "../../../contracts/errors.ts";
import type { FileSender, SentFile } from "../../../contracts/file-sender.ts";
import { isRecord } from "../../../protocol/wire/json.ts";

export class QmpWriter {
  private held: string[] | undefined;

  constructor(
    private readonly socket: net.Socket,
    private readonly sendFile: FileSender,
  ) {}

  write(line: string): void {
    if (this.held === undefined) this.socket.write(line);
    else this.held.push(line);
  }

  /** One at a time. Rejects with StorageFailed if the file cannot be opened: then nothing was sent. Else with LinkClosed. */
  async writeWith(file: SentFile, text: string): Promise<void> {
    const held: string[] = [];
    this.held = held;
    try {
      await this.flushed();
      await this.sendFile({ socket: descriptorOf(this.socket), file, text });
    } finally {
      this.held = undefined;
      for (const line of held) this.socket.write(line);
    }
  }

  /** Everything that Node was given has gone out. */
  private flushed(): Promise<void> {
    if (this.socket.writableLength === 0) return Promise.resolve();
    return new Promise((resolve, reject) => {
      this.socket.write("", (error) => (error == null ? resolve() : reject(gone())));
    });
  }
}

function descriptorOf(socket: net.Socket): { readonly fd: number; readonly inode: number } {
  const handle: unknown = Reflect.get(socket, "_handle");
  const fd = isRecord(handle) ? handle["fd"] : undefined;
  if (typeof fd !== "number" || fd < 0) throw gone();
  return { fd, inode: fstatSync(fd).ino };
}

function gone(): BlazarError {
  return blazarError("LinkClosed", "use QEMU's control connection", "it has been closed");
}
