/**
 * The file of a journal: lines are added whole or not at all, and the whole is replaced at once.
 *
 * A write that fails in the middle of a line is taken back: write(2) may write a part, and ENOSPC tells nothing of it. A file
 * that cannot be opened again for want of something is opened by the next write that can.
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
import { blazarError } from "../../../contracts/errors.ts";

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

/** What a host can be short of, or refuse for a while. Anything else says that the file is not ours. */
const FOR_A_WHILE: ReadonlySet<string | undefined> = new Set([
  ...["EMFILE", "ENFILE", "ENOMEM", "ENOSPC", "EDQUOT"],
  ...["EACCES", "EPERM", "EROFS", "EIO", "EAGAIN", "EINTR"],
]);

/** Whether an error of the host may be over soon, and says nothing of the file. */
export function isForAWhile(error: unknown): boolean {
  return FOR_A_WHILE.has((error as NodeJS.ErrnoException).code);
}

interface OpenFile {
  readonly file: number;
  readonly inMemory: boolean;
}

export class JournalFile {
  /** Its length, as far as it is known. */
  bytes = 0;
  /** Why it is not open, if it is not. */
  trouble: unknown;
  private opened: OpenFile | undefined;
  /** The file ends within a line that counts for nothing: the next line begins after an end of line. */
  private endsWithin = false;

  private constructor(
    readonly path: string,
    public lines: number,
    /** Whether the last line of a file that is gone on with is to be cut off. */
    private readonly torn: boolean,
  ) {}

  /** One that is made by {@link replace}, whatever is there. */
  static unopened(path: string): JournalFile {
    return new JournalFile(path, 0, false);
  }

  /** Makes it, mode 0600. Throws if there is one. */
  static async create(path: string): Promise<JournalFile> {
    const journal = new JournalFile(path, 0, false);
    const inMemory = await isInMemory(dirname(path));
    journal.opened = { file: await openFile(path, "ax", OWNER_ONLY), inMemory };
    return journal;
  }

  /**
   * Goes on with a file that is there. Throws if it is no regular file of this user. If the host cannot open it now, it has a
   * {@link trouble}, and each {@link append} tries again.
   * @param torn whether its last line is to be cut off
   */
  static async reopen(path: string, lines: number, torn: boolean): Promise<JournalFile> {
    const journal = new JournalFile(path, lines, torn);
    try {
      await journal.openAgain();
    } catch (error) {
      if (!isForAWhile(error)) throw error;
      journal.trouble = error;
    }
    return journal;
  }

  /** Adds lines, each with its end. If it rejects, none of them counts. */
  async append(lines: readonly string[]): Promise<void> {
    const opened = this.opened ?? (await this.openAgain());
    const bytes = Buffer.from(this.endsWithin ? `\n${lines.join("")}` : lines.join(""));
    let rest: Uint8Array = bytes;
    try {
      while (rest.length > 0) rest = rest.subarray(await writeTo(opened, rest));
    } catch (error) {
      if (rest.length < bytes.length) await this.takeBack(opened, bytes.length - rest.length);
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
    const inMemory = await isInMemory(dirname(path));
    const opened = { file: await openFile(path, "ax", OWNER_ONLY), inMemory };
    const bytes = Buffer.from(lines.join(""));
    try {
      for (let rest: Uint8Array = bytes; rest.length > 0; ) rest = rest.subarray(await writeTo(opened, rest));
      await renameFile(path, this.path);
    } catch (error) {
      await closeFile(opened.file);
      await removeFile(path).catch(() => undefined);
      throw error;
    }
    const old = this.opened;
    this.opened = opened;
    this.bytes = bytes.length;
    this.lines = lines.length;
    this.endsWithin = false;
    if (old !== undefined) await closeFile(old.file);
  }

  async close(): Promise<void> {
    const { opened } = this;
    this.opened = undefined;
    if (opened !== undefined) await closeFile(opened.file);
  }

  remove(): Promise<void> {
    return removeFile(this.path);
  }

  private async openAgain(): Promise<OpenFile> {
    const { path, torn } = this;
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
      if (torn && whole < stats.size) await cutFile(file, whole);
      this.endsWithin = !torn && whole < stats.size;
      this.bytes = torn ? whole : stats.size;
    } catch (error) {
      await closeFile(file);
      throw error;
    }
    this.trouble = undefined;
    this.opened = { file, inMemory };
    return this.opened;
  }

  private async takeBack({ file }: OpenFile, written: number): Promise<void> {
    try {
      await cutFile(file, this.bytes);
    } catch {
      this.bytes += written;
      this.endsWithin = true;
    }
  }
}

async function writeTo({ file, inMemory }: OpenFile, bytes: Uint8Array): Promise<number> {
  return inMemory ? writeSync(file, bytes) : (await writeFile(file, bytes)).bytesWritten;
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
