/**
 * Keeps the logs of VMMs, helpers and keeper small: the state directory is often memory, and a guest can make its VMM complain
 * without end.
 *
 * All of them are written with O_APPEND, so a file that is cut goes on at its new end. Of one that is too large the last bytes
 * stay. No symlink is followed: the directories of VMMs are their users'.
 */
import { constants } from "node:fs";
import { type FileHandle, open, readdir } from "node:fs/promises";
import { join } from "node:path";

/** No log is larger for longer than {@link LOOK_MS}. */
export const MOST_LOG_BYTES = 1024 * 1024;
/** What is kept of one that is cut. */
export const KEPT_LOG_BYTES = 64 * 1024;
const LOOK_MS = 60_000;
/** `vm/ID/qemu.log` and its like. */
const DEPTH = 3;

export class BoundedLogs {
  /** @param directory logs are the files called `*.log` in it and below */
  constructor(private readonly directory: string) {}

  start(): void {
    setInterval(() => void this.look(), LOOK_MS).unref();
  }

  /** Cuts what is too large. What goes away meanwhile, or cannot be cut, is left. */
  look(): Promise<void> {
    return cutBelow(this.directory, DEPTH).catch(() => undefined);
  }
}

async function cutBelow(directory: string, depth: number): Promise<void> {
  for (const entry of await readdir(directory, { withFileTypes: true }).catch(() => [])) {
    const path = join(directory, entry.name);
    if (entry.isDirectory() && depth > 1) await cutBelow(path, depth - 1);
    else if (entry.isFile() && entry.name.endsWith(".log")) await cut(path).catch(() => undefined);
  }
}

async function cut(path: string): Promise<void> {
  const { O_RDWR, O_NOFOLLOW, O_NONBLOCK } = constants;
  const file = await open(path, O_RDWR | O_NOFOLLOW | O_NONBLOCK);
  try {
    const { size } = await file.stat();
    if (size > MOST_LOG_BYTES) await keepEnd(file, size);
  } finally {
    await file.close();
  }
}

/** Where the disk is full there may be no room to write: then all of it goes. */
async function keepEnd(file: FileHandle, size: number): Promise<void> {
  const end = Buffer.alloc(KEPT_LOG_BYTES);
  const { bytesRead } = await file.read(end, 0, end.length, size - end.length);
  await file.truncate(0);
  await file.write(end, 0, bytesRead, 0);
}
