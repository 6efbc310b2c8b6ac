/**
 * A FUSE client for tests, which sends what it is told to: legal messages, and those that no kernel would send.
 *
 * Fields are given as functions that make bytes, so that a message may also be wrong in any way (linux/fuse.h).
 */
import net from "node:net";

export const OP = {
  lookup: 1,
  forget: 2,
  getattr: 3,
  setattr: 4,
  readlink: 5,
  symlink: 6,
  mknod: 8,
  mkdir: 9,
  unlink: 10,
  rmdir: 11,
  rename: 12,
  link: 13,
  open: 14,
  read: 15,
  write: 16,
  statfs: 17,
  release: 18,
  fsync: 20,
  setxattr: 21,
  getxattr: 22,
  listxattr: 23,
  removexattr: 24,
  flush: 25,
  init: 26,
  opendir: 27,
  readdir: 28,
  releasedir: 29,
  getlk: 31,
  setlk: 32,
  setlkw: 33,
  create: 35,
  interrupt: 36,
  batchForget: 42,
  fallocate: 43,
  readdirplus: 44,
  rename2: 45,
  lseek: 46,
  copyFileRange: 47,
} as const;

export const ROOT = 1;
const HEADER_BYTES = 40;
const ALL_FLAGS = 0xffff_ffff;

export function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value >>> 0);
  return bytes;
}
export function u64(value: number | bigint): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return bytes;
}
/** With the zero at its end. */
export function text(value: string | Buffer): Buffer {
  return Buffer.concat([Buffer.from(value as string), Buffer.alloc(1)]);
}
export const zeros = (length: number): Buffer => Buffer.alloc(length);

/** Requests that are under way at the same time. */
const AT_ONCE = 200;

/** A reply, without its header. */
export interface Answer {
  /** 0, or an errno; -1: the connection was closed instead. */
  readonly errno: number;
  readonly body: Buffer;
}

/** What a look-up tells of a file. */
export interface Entry {
  readonly nodeId: number;
  readonly inode: bigint;
  readonly size: number;
  readonly mode: number;
  readonly links: number;
  readonly uid: number;
  readonly gid: number;
  readonly mtimeNs: bigint;
}

export class FuseClient {
  private received = Buffer.alloc(0);
  private wake: () => void = () => undefined;
  private nextUnique = 2;
  private readonly answers = new Map<number, Answer>();
  closed = false;
  /** Who asks. */
  user = { uid: 0, gid: 0, pid: 77 };

  private constructor(private readonly socket: net.Socket) {
    socket.on("data", (chunk) => {
      this.received = Buffer.concat([this.received, chunk]);
      this.takeAnswers();
      this.wake();
    });
    socket.on("error", () => undefined);
    socket.on("close", () => {
      this.closed = true;
      this.wake();
    });
  }

  static async connect(path: string): Promise<FuseClient> {
    for (;;) {
      const socket = net.connect(path);
      const done = await new Promise<boolean>((resolve) => {
        socket.once("connect", () => resolve(true));
        socket.once("error", () => resolve(false));
      });
      if (done) return new FuseClient(socket);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }

  /** Says hello as Linux 6.1 does. */
  begin(): Promise<Answer> {
    return this.ask(OP.init, 0, u32(7), u32(37), u32(131_072), u32(ALL_FLAGS), zeros(48));
  }

  /** Sends a request and waits for the answer. */
  async ask(opcode: number, nodeId: number, ...fields: readonly Buffer[]): Promise<Answer> {
    return this.answer(this.send(opcode, nodeId, ...fields));
  }

  /** Sends a request; its number. */
  send(opcode: number, nodeId: number | bigint, ...fields: readonly Buffer[]): number {
    const unique = this.nextUnique;
    this.nextUnique += 2;
    this.socket.write(this.message(opcode, nodeId, unique, ...fields));
    return unique;
  }

  message(opcode: number, nodeId: number | bigint, unique: number, ...fields: readonly Buffer[]): Buffer {
    const body = Buffer.concat(fields);
    const { uid, gid, pid } = this.user;
    const owner = [u32(uid), u32(gid), u32(pid), u32(0)];
    const header = [u32(HEADER_BYTES + body.length), u32(opcode), u64(unique), u64(nodeId), ...owner];
    return Buffer.concat([...header, body]);
  }

  /** Puts bytes on the connection, whatever they are, and waits until it is closed. */
  async raw(bytes: Buffer): Promise<void> {
    this.socket.write(bytes);
    while (!this.closed) await this.more();
  }

  async answer(unique: number): Promise<Answer> {
    for (;;) {
      const answer = this.answers.get(unique);
      this.answers.delete(unique);
      if (answer !== undefined) return answer;
      if (this.closed) return { errno: -1, body: Buffer.alloc(0) };
      await this.more();
    }
  }

  /**
   * Asks many times, without a wait after each; the errnos in order.
   * @param send sends the request of this index
   */
  async askMany(count: number, send: (index: number) => number): Promise<number[]> {
    const errnos: number[] = [];
    while (errnos.length < count) {
      const first = errnos.length;
      const length = Math.min(AT_ONCE, count - first);
      const sent = Array.from({ length }, (_, index) => send(first + index));
      for (const unique of sent) errnos.push((await this.answer(unique)).errno);
    }
    return errnos;
  }

  /** Whether there is an answer already. */
  has(unique: number): boolean {
    return this.answers.has(unique);
  }

  /** The file at these names, from a directory on; throws the errno as text. */
  async lookUp(from: number, ...names: readonly (string | Buffer)[]): Promise<Entry> {
    let found: Entry | undefined;
    let at = from;
    for (const name of names) {
      const { errno, body } = await this.ask(OP.lookup, at, text(name));
      if (errno !== 0) throw new Error(`errno ${errno}`);
      found = entry(body);
      if (found.nodeId === 0) throw new Error("errno 2");
      at = found.nodeId;
    }
    return found ?? (await this.attributes(from));
  }

  async attributes(nodeId: number): Promise<Entry> {
    const { errno, body } = await this.ask(OP.getattr, nodeId, zeros(16));
    if (errno !== 0) throw new Error(`errno ${errno}`);
    return attributes(nodeId, body.subarray(16));
  }

  /** The number of a file that is open then; throws the errno as text. 0: it need not be opened. */
  async open(nodeId: number, flags = 0, opcode: number = OP.open): Promise<number> {
    const { errno, body } = await this.ask(opcode, nodeId, u32(flags), u32(0));
    if (errno === 38) return 0;
    if (errno !== 0) throw new Error(`errno ${errno}`);
    return Number(body.readBigUInt64LE(0));
  }

  async read(nodeId: number, handle: number, offset: number | bigint, count: number): Promise<Buffer> {
    const { errno, body } = await this.ask(OP.read, nodeId, u64(handle), u64(offset), u32(count), zeros(20));
    if (errno !== 0) throw new Error(`errno ${errno}`);
    return Buffer.from(body);
  }

  write(
    nodeId: number,
    handle: number,
    offset: number | bigint,
    content: string,
    flags = 0,
    how = 0,
  ): Promise<Answer> {
    const bytes = Buffer.from(content);
    const fields = [u64(handle), u64(offset), u32(bytes.length), u32(how), u64(0), u32(flags), u32(0), bytes];
    return this.ask(OP.write, nodeId, ...fields);
  }

  /** Makes a file and opens it for reading and writing. */
  async create(
    parent: number,
    name: string,
    mode = 0o644,
    umask = 0,
  ): Promise<{ file: Entry; handle: number }> {
    const fields = [u32(0o102), u32(0o100000 | mode), u32(umask), u32(0), text(name)];
    const { errno, body } = await this.ask(OP.create, parent, ...fields);
    if (errno !== 0) throw new Error(`errno ${errno}`);
    return { file: entry(body), handle: Number(body.readBigUInt64LE(128)) };
  }

  /** The content of a small file. */
  async content(from: number, ...names: readonly (string | Buffer)[]): Promise<string> {
    const { nodeId } = await this.lookUp(from, ...names);
    const handle = await this.open(nodeId);
    const bytes = await this.read(nodeId, handle, 0, 65_536);
    if (handle !== 0) await this.ask(OP.release, nodeId, u64(handle), zeros(16));
    return bytes.toString();
  }

  /** Names in a directory → inode numbers, read with messages of this size. */
  async list(nodeId: number, count = 8192, plus = false): Promise<Map<string, bigint>> {
    const handle = await this.open(nodeId, 0o200000, OP.opendir);
    const entries = new Map<string, bigint>();
    const opcode = plus ? OP.readdirplus : OP.readdir;
    for (let offset = 0n; ; ) {
      const { errno, body } = await this.ask(opcode, nodeId, u64(handle), u64(offset), u32(count), zeros(20));
      if (errno !== 0) throw new Error(`errno ${errno}`);
      if (body.length === 0) return entries;
      for (let at = 0; at < body.length; ) {
        const record = at + (plus ? 128 : 0);
        offset = body.readBigUInt64LE(record + 8);
        const length = body.readUInt32LE(record + 16);
        const name = body.subarray(record + 24, record + 24 + length).toString("latin1");
        const told = plus ? body.readBigUInt64LE(at + 40) : 0n;
        entries.set(name, told === 0n ? body.readBigUInt64LE(record) : told);
        at = (record + 24 + length + 7) & ~7;
      }
    }
  }

  close(): void {
    this.socket.destroy();
  }

  private more(): Promise<void> {
    return new Promise((resolve) => {
      this.wake = resolve;
    });
  }

  private takeAnswers(): void {
    while (this.received.length >= 16 && this.received.length >= this.received.readUInt32LE(0)) {
      const size = this.received.readUInt32LE(0);
      const errno = -this.received.readInt32LE(4);
      const unique = Number(this.received.readBigUInt64LE(8));
      this.answers.set(unique, { errno: errno || 0, body: Buffer.from(this.received.subarray(16, size)) });
      this.received = this.received.subarray(size);
    }
  }
}

/** Reads a struct fuse_entry_out. */
export function entry(body: Buffer): Entry {
  return attributes(Number(body.readBigUInt64LE(0)), body.subarray(40));
}

function attributes(nodeId: number, attr: Buffer): Entry {
  return {
    nodeId,
    inode: attr.readBigUInt64LE(0),
    size: Number(attr.readBigUInt64LE(8)),
    mode: attr.readUInt32LE(60),
    links: attr.readUInt32LE(64),
    uid: attr.readUInt32LE(68),
    gid: attr.readUInt32LE(72),
    mtimeNs: attr.readBigUInt64LE(32) * 1_000_000_000n + BigInt(attr.readUInt32LE(52)),
  };
}
