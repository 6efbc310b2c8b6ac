/**
 * A 9P2000.L client for tests, which sends what it is told to: legal messages, and those that no kernel would send.
 *
 * Fields are given as functions that make bytes, so that a message may also be wrong in any way. One request at a time.
 */
import net from "node:net";

export const T = {
  statfs: 8,
  lopen: 12,
  lcreate: 14,
  symlink: 16,
  mknod: 18,
  rename: 20,
  readlink: 22,
  getattr: 24,
  setattr: 26,
  xattrwalk: 30,
  xattrcreate: 32,
  readdir: 40,
  fsync: 50,
  lock: 52,
  getlock: 54,
  link: 70,
  mkdir: 72,
  renameat: 74,
  unlinkat: 76,
  version: 100,
  auth: 102,
  attach: 104,
  flush: 108,
  walk: 110,
  read: 116,
  write: 118,
  clunk: 120,
  remove: 122,
} as const;

const RLERROR = 7;
export const NO_FID = 0xffff_ffff;

export const u8 = (value: number): Buffer => Buffer.from([value]);
export const u16 = (value: number): Buffer => Buffer.from([value & 0xff, value >> 8]);
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
export function text(value: string | Buffer): Buffer {
  const bytes = Buffer.from(value as string);
  return Buffer.concat([u16(bytes.length), bytes]);
}

/** A reply: its type, and its fields after the header. */
export interface Answer {
  /** 0, or the errno of an Rlerror. */
  readonly errno: number;
  readonly type: number;
  readonly body: Buffer;
}

/** Type, version and path of a file. */
export interface Qid {
  readonly type: number;
  readonly version: number;
  readonly path: bigint;
}

export class NinepClient {
  private received = Buffer.alloc(0);
  private wake: () => void = () => undefined;
  private nextFid = 1;
  closed = false;

  private constructor(private readonly socket: net.Socket) {
    socket.on("data", (chunk) => {
      this.received = Buffer.concat([this.received, chunk]);
      this.wake();
    });
    socket.on("error", () => undefined);
    socket.on("close", () => {
      this.closed = true;
      this.wake();
    });
  }

  static async connect(path: string): Promise<NinepClient> {
    for (;;) {
      const socket = net.connect(path);
      const done = await new Promise<boolean>((resolve) => {
        socket.once("connect", () => resolve(true));
        socket.once("error", () => resolve(false));
      });
      if (done) return new NinepClient(socket);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }

  /** Agrees on a version and attaches; the root's fid is 0. */
  async begin(messageBytes = 512_000): Promise<Qid> {
    await this.ask(T.version, u32(messageBytes), text("9P2000.L"));
    const { body } = await this.ask(T.attach, u32(0), u32(NO_FID), text("root"), text(""), u32(0));
    return qid(body);
  }

  /** Sends a request and waits for the answer; type 0 = the connection was closed instead. */
  ask(type: number, ...fields: readonly Buffer[]): Promise<Answer> {
    const body = Buffer.concat(fields);
    return this.raw(Buffer.concat([u32(7 + body.length), u8(type), u16(1), body]));
  }

  /** Puts bytes on the connection, whatever they are, and waits for an answer. */
  async raw(bytes: Buffer): Promise<Answer> {
    this.socket.write(bytes);
    return this.answer();
  }

  async answer(): Promise<Answer> {
    while (this.received.length < 7 || this.received.length < this.received.readUInt32LE(0)) {
      if (this.closed) return { errno: -1, type: 0, body: Buffer.alloc(0) };
      await new Promise<void>((resolve) => {
        this.wake = resolve;
      });
    }
    const size = this.received.readUInt32LE(0);
    const [type, body] = [this.received.readUInt8(4), this.received.subarray(7, size)];
    this.received = this.received.subarray(size);
    return { errno: type === RLERROR ? body.readUInt32LE(0) : 0, type, body };
  }

  /** A new fid for the file at these names, from `from` on; throws the errno as text. */
  async walk(from: number, ...names: readonly (string | Buffer)[]): Promise<number> {
    const fid = this.nextFid++;
    const { errno, body } = await this.ask(
      T.walk,
      u32(from),
      u32(fid),
      u16(names.length),
      ...names.map(text),
    );
    if (errno !== 0) throw new Error(`errno ${errno}`);
    if (body.readUInt16LE(0) !== names.length) throw new Error("errno 2");
    return fid;
  }

  /** The qid of a file. */
  async qid(fid: number): Promise<Qid> {
    return qid((await this.ask(T.getattr, u32(fid), u64(0x7ff))).body.subarray(8));
  }

  async open(fid: number, flags = 0): Promise<number> {
    return (await this.ask(T.lopen, u32(fid), u32(flags))).errno;
  }

  async read(fid: number, offset: number, count: number): Promise<Buffer> {
    const { errno, body } = await this.ask(T.read, u32(fid), u64(offset), u32(count));
    if (errno !== 0) throw new Error(`errno ${errno}`);
    return Buffer.from(body.subarray(4));
  }

  /** Opens, reads and forgets a file. */
  async content(from: number, ...names: readonly (string | Buffer)[]): Promise<string> {
    const fid = await this.walk(from, ...names);
    try {
      const errno = await this.open(fid);
      if (errno !== 0) throw new Error(`errno ${errno}`);
      return (await this.read(fid, 0, 65_536)).toString();
    } finally {
      await this.clunk(fid);
    }
  }

  /** All entries of a directory, read with messages of this size. */
  async list(fid: number, count = 8192): Promise<Map<string, Qid & { readonly kind: number }>> {
    const entries = new Map<string, Qid & { readonly kind: number }>();
    for (let offset = 0n; ; ) {
      const { errno, body } = await this.ask(T.readdir, u32(fid), u64(offset), u32(count));
      if (errno !== 0) throw new Error(`errno ${errno}`);
      if (body.readUInt32LE(0) === 0) return entries;
      for (let at = 4; at < body.length; ) {
        offset = body.readBigUInt64LE(at + 13);
        const length = body.readUInt16LE(at + 22);
        const name = body.subarray(at + 24, at + 24 + length).toString("latin1");
        entries.set(name, { ...qid(body.subarray(at)), kind: body.readUInt8(at + 21) });
        at += 24 + length;
      }
    }
  }

  clunk(fid: number): Promise<Answer> {
    return this.ask(T.clunk, u32(fid));
  }

  close(): void {
    this.socket.destroy();
  }
}

/** Reads a qid at the start of bytes. */
export function qid(bytes: Buffer): Qid {
  return { type: bytes.readUInt8(0), version: bytes.readUInt32LE(1), path: bytes.readBigUInt64LE(5) };
}
