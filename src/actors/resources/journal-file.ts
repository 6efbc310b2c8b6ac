/**
 * The file of a journal: lines are added whole or not at all, and the whole is replaced at once.
 *
 * A write that fails in the middle of a line is taken back: write(2) may write a part, and ENOSPC tells nothing of it.
 * One caller at a time. Must not know what lines say.
 */
import {
  close,
  fchmod,
  fstat,
  ftruncate,
  constants as MODE,
  open,
  read,
  readFile,
  rename,
  type Stats,
  statfs,
  unlink,
  write,
  writeSync,
} from "node:fs";
import { dirname } from "node:path";
import { promisify } from "node:util";
import { blazarError } from "../../contracts/errors.ts";

// by number: each call of a FileHandle costs several times as much, and a start writes a dozen times
const openFile = promisify(open);
const closeFile = promisify(close);
const removeFile = promisify(unlink);
const writeFile = promisify(write);
const readBytes = promisify(read);
const readText = promisify(readFile);
const renameFile = promisify(rename);
const cutFile = promisify(ftruncate);
const changeMode = promisify(fchmod);
const statOf: (file: number) => Promise<Stats> = promisify(fstat);
const fileSystemOf = promisify(statfs);

/** statfs(2): file systems that are memory, where a write is a copy of microseconds and needs no thread. */
const IN_MEMORY: ReadonlySet<number> = new Set([0x0102_1994, 0x8584_58f6]);

/** By directory: asked once, as a start would wait for the answer. */
const directoriesInMemory = new Map<string, Promise<boolean>>();

function isInMemory(directory: string): Promise<boolean> {
  const known = directoriesInMemory.get(directory);
  if (known !== undefined) return known;
  const asked = fileSystemOf(directory).then(({ type }) => IN_MEMORY.has(type));
  directoriesInMemory.set(directory, asked);
  asked.catch(() => directoriesInMemory.delete(directory));
  return asked;
}

/** What the name of a file ends with that is to replace the journal; one of a dead daemon says nothing. */
export const REPLACEMENT = ".new";

const OWNER_ONLY = 0o600;
const PERMISSIONS = 0o777;
const CHUNK = 64 * 1024;
const NEWLINE = 0x0a;

export class JournalFile {
  /** The file ends within a line that counts for nothing: the next line begins after an end of line. */
  private endsWithin = false;

  private constructor(
    readonly path: string,
    private file: number,
    private readonly inMemory: boolean,
    /** Its length. */
    public bytes: number,
    public lines: number,
  ) {}

  /** Makes it, mode 0600. Throws if there is one. */
  static async create(path: string): Promise<JournalFile> {
    const inMemory = await isInMemory(dirname(path));
    return new JournalFile(path, await openFile(path, "ax", OWNER_ONLY), inMemory, 0, 0);
  }

  /**
   * Goes on with a file that is there. Throws if it is no regular file of this user.
   * @param torn whether its last line is to be cut off
   */
  static async reopen(path: string, lines: number, torn: boolean): Promise<JournalFile> {
    const inMemory = await isInMemory(dirname(path));
    // never waits for the other end of a FIFO, never follows a link
    const how = MODE.O_RDWR | MODE.O_APPEND | MODE.O_NOFOLLOW | MODE.O_NONBLOCK;
    const file = await openFile(path, how);
    try {
      const stats = await statOf(file);
      if (!stats.isFile() || stats.uid !== process.geteuid?.())
        throw blazarError("HostResource", "go on with a journal", "it is no regular file of this user", {
          subject: path,
        });
      if ((stats.mode & PERMISSIONS) !== OWNER_ONLY) await changeMode(file, OWNER_ONLY);
      const whole = await lengthOfWholeLines(file, stats.size);
      const journal = new JournalFile(path, file, inMemory, torn ? whole : stats.size, lines);
      if (torn && whole < stats.size) await cutFile(file, whole);
      else journal.endsWithin = whole < stats.size;
      return journal;
    } catch (error) {
      await closeFile(file);
      throw error;
    }
  }

  /** Adds lines, each with its end. If it rejects, none of them counts. */
  async append(lines: readonly string[]): Promise<void> {
    const bytes = Buffer.from(this.endsWithin ? `\n${lines.join("")}` : lines.join(""));
    let rest: Uint8Array = bytes;
    try {
      while (rest.length > 0) rest = rest.subarray(await this.write(this.file, rest));
    } catch (error) {
      if (rest.length < bytes.length) await this.takeBack(bytes.length - rest.length);
      throw error;
    }
    this.bytes += bytes.length;
    this.lines += lines.length;
    this.endsWithin = false;
  }

  text(): Promise<string> {
    return readText(this.path, "utf8");
  }

  /** Replaces all lines at once, rename(2). If it rejects, nothing has changed. */
  async replace(lines: readonly string[]): Promise<void> {
    const path = `${this.path}${REPLACEMENT}`;
    await removeFile(path).catch(() => undefined);
    const file = await openFile(path, "ax", OWNER_ONLY);
    const bytes = Buffer.from(lines.join(""));
    try {
      for (let rest: Uint8Array = bytes; rest.length > 0; )
        rest = rest.subarray(await this.write(file, rest));
      await renameFile(path, this.path);
    } catch (error) {
      await closeFile(file);
      await removeFile(path).catch(() => undefined);
      throw error;
    }
    const old = this.file;
    this.file = file;
    this.bytes = bytes.length;
    this.lines = lines.length;
    this.endsWithin = false;
    await closeFile(old);
  }

  close(): Promise<void> {
    return closeFile(this.file);
  }

  remove(): Promise<void> {
    return removeFile(this.path);
  }

  private async write(file: number, bytes: Uint8Array): Promise<number> {
    return this.inMemory ? writeSync(file, bytes) : (await writeFile(file, bytes)).bytesWritten;
  }

  private async takeBack(written: number): Promise<void> {
    try {
      await cutFile(this.file, this.bytes);
    } catch {
      this.bytes += written;
      this.endsWithin = true;
    }
  }
}

/** Up to and with the last end of a line. */
async function lengthOfWholeLines(file: number, size: number): Promise<number> {
  const buffer = Buffer.alloc(CHUNK);
  for (let end = size; end > 0; end -= CHUNK) {
    const start = Math.max(0, end - CHUNK);
    const { bytesRead } = await readBytes(file, buffer, 0, end - start, start);
    const found = buffer.subarray(0, bytesRead).lastIndexOf(NEWLINE);
    if (found >= 0) return start + found + 1;
  }
  return 0;
}
