/** Small pieces for a reader that has stopped wait as few large ones, and arrive as they were. */
import { Writable } from "node:stream";
import { describe, expect, it } from "vitest";
import { GatheringWriter } from "../../../src/lib/sockets/gathering-writer.ts";

/** A socket whose other end reads when a test lets it. */
function jammed() {
  const writes: Buffer[] = [];
  let go: (() => void) | undefined;
  const socket = new Writable({
    highWaterMark: 1024,
    write: (bytes: Buffer, _, done) => {
      writes.push(bytes);
      go = done;
    },
  });
  let drained = 0;
  const writer = new GatheringWriter(socket, () => drained++);
  const read = async () => {
    const next = go;
    go = undefined;
    next?.();
    await new Promise((resolve) => setImmediate(resolve));
  };
  return { writer, writes, read, drained: () => drained };
}

describe("a writer to a socket that may jam", () => {
  it("sends everything once and in order, in few writes", async () => {
    const { writer, writes, read, drained } = jammed();
    expect(writer.write(Buffer.alloc(2_000, "."))).toBe(false);
    for (let number = 0; number < 50_000; number++)
      expect(writer.write(Buffer.from(`${String(number).padStart(6, "0")}`))).toBe(false);
    expect(writer.waiting).toBe(2_000 + 300_000);
    for (let round = 0; round < 20; round++) await read();
    expect(writes.length).toBeLessThan(10);
    const text = Buffer.concat(writes).toString().slice(2_000);
    expect(text).toBe(
      Array.from({ length: 50_000 }, (_, number) => String(number).padStart(6, "0")).join(""),
    );
    expect([writer.waiting, drained()]).toEqual([0, 1]);
  });

  it("goes on as before after the jam", async () => {
    const { writer, writes, read } = jammed();
    writer.write(Buffer.alloc(2_000));
    writer.write(Buffer.from("waits"));
    for (let round = 0; round < 3; round++) await read();
    expect(writer.write(Buffer.from("at once"))).toBe(true);
    expect(writes.at(-1)?.toString()).toBe("at once");
  });
});
