/**
 * A stream that has no end of its own, such as a virtio port, and ends with a word instead.
 */
import { Transform, type TransformCallback } from "node:stream";

/** Passes on what comes before the word, and ends where it begins. */
export class EndedStream extends Transform {
  private readonly word: Buffer;
  private held: Buffer = Buffer.alloc(0);
  private over = false;

  constructor(word: string) {
    super();
    this.word = Buffer.from(word);
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    if (this.over) return done();
    const bytes = Buffer.concat([this.held, chunk]);
    const at = bytes.indexOf(this.word);
    if (at >= 0) {
      this.over = true;
      this.push(bytes.subarray(0, at));
      this.push(null);
      this.held = Buffer.alloc(0);
      return done();
    }
    const kept = partOfWord(bytes, this.word);
    this.held = bytes.subarray(bytes.length - kept);
    done(null, bytes.subarray(0, bytes.length - kept));
  }

  /** It broke off: what was held is output after all. */
  override _flush(done: TransformCallback): void {
    done(null, this.held);
  }
}

/** How many of the last bytes may be the beginning of the word. */
function partOfWord(bytes: Buffer, word: Buffer): number {
  for (let length = Math.min(bytes.length, word.length - 1); length > 0; length--)
    if (bytes.subarray(bytes.length - length).equals(word.subarray(0, length))) return length;
  return 0;
}
