/**
 * Sends an open file over a unix socket: sendmsg(2) with SCM_RIGHTS, see contracts/file-sender.ts.
 *
 * The socket belongs to the main thread, which may close it at any time. So it is duplicated first, and what was duplicated
 * must be the socket that was meant. The socket does not block: a full one is waited for here, up to a bound.
 */
import { constants, fstatSync } from "node:fs";
import { blazarError } from "../contracts/errors.ts";
import type { FileMessage, SentFile } from "../contracts/file-sender.ts";
import { closeDescriptor, duplicate, EAGAIN, openFile, systemError } from "./libc/libc.ts";
import { connectSocket, sendBytes, waitWritable } from "./libc/sockets.ts";
import { type Outcome, settle } from "./outcome.ts";

const OPERATION = "hand over a file";
/** A VMM that reads nothing for so long hangs. */
const WRITABLE_WITHIN_MS = 5_000;
/** Opening a FIFO that somebody has put in a file's place must not wait for a writer. */
const HARMLESS_FLAGS = constants.O_NONBLOCK | constants.O_NOCTTY;

export function sendFile({ socket, file, text }: FileMessage): Outcome<undefined> {
  return settle("StorageFailed", OPERATION, file.path, () => {
    const opened = open(file);
    try {
      const own = ownDescriptor(socket);
      try {
        send(own, Buffer.from(text, "utf8"), opened, file.path);
      } finally {
        closeDescriptor(own);
      }
    } finally {
      closeDescriptor(opened);
    }
    return undefined;
  });
}

function open(file: SentFile): number {
  const { kind, path } = file;
  const opened = kind === "file" ? openFile(path, file.flags | HARMLESS_FLAGS) : connectSocket(path);
  if (opened >= 0) return opened;
  throw systemError("StorageFailed", -opened, { operation: OPERATION, subject: path });
}

function ownDescriptor({ fd, inode }: FileMessage["socket"]): number {
  const own = duplicate(fd);
  if (own < 0) throw systemError("LinkClosed", -own, { operation: OPERATION });
  if (fstatSync(own).ino === inode) return own;
  closeDescriptor(own);
  throw blazarError("LinkClosed", OPERATION, "the socket has been closed");
}

/** The descriptor goes out with the first byte. */
function send(socket: number, bytes: Buffer, file: number, subject: string): void {
  for (let sent = 0; sent < bytes.length; ) {
    const result = sendBytes(socket, bytes.subarray(sent), sent === 0 ? file : undefined);
    if (result > 0) sent += result;
    else if (result !== -EAGAIN) throw systemError("LinkClosed", -result, { operation: OPERATION, subject });
    else if (!waitWritable(socket, WRITABLE_WITHIN_MS)) {
      const reason = `the VMM has read nothing for ${WRITABLE_WITHIN_MS} ms`;
      throw blazarError("LinkClosed", OPERATION, reason, { subject });
    }
  }
}
