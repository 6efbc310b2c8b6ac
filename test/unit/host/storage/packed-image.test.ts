/** A sparse image comes back from its packed form byte by byte, as sparse as it was; a damaged form is refused. */
import { mkdtempSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { open } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { packImage, unpackImage } from "../../../../src/workers/images/packed-image.ts";

const MEBIBYTE = 1024 * 1024;
const SIZE = 4 * MEBIBYTE;

let directory: string;
const file = (name: string): string => path.join(directory, name);

beforeEach(() => {
  directory = mkdtempSync(path.join(tmpdir(), "blazar-packed-"));
});

afterEach(() => rmSync(directory, { recursive: true }));

async function makeImage(name: string, size: number, pieces: readonly (readonly [number, string])[]) {
  const image = await open(file(name), "w");
  await image.truncate(size);
  for (const [offset, text] of pieces) await image.write(text, offset);
  await image.close();
  return file(name);
}

/** Packs and unpacks. */
function copyOf(image: string): string {
  packImage(image, file("packed"));
  unpackImage(file("packed"), file("copy"), undefined);
  return file("copy");
}

describe("a packed image", () => {
  test("comes back as it was, whatever is where in it", async () => {
    const piece = fc.tuple(fc.nat(SIZE - 20_000), fc.integer({ min: 1, max: 20_000 }));
    await fc.assert(
      fc.asyncProperty(fc.array(piece, { maxLength: 8 }), async (pieces) => {
        const texts = pieces.map(([offset, length]) => [offset, "x".repeat(length)] as const);
        const image = await makeImage("image", SIZE, texts);
        expect(readFileSync(copyOf(image)).equals(readFileSync(image))).toBe(true);
        for (const name of ["image", "packed", "copy"]) rmSync(file(name));
      }),
      { numRuns: 30 },
    );
  });

  test("is as small as what is in it, written zeros left out, and its copies are sparse", async () => {
    const image = await makeImage("image", 16 * 1024 * MEBIBYTE, [
      [0, "head"],
      [8192, "\0".repeat(64 * 1024)],
      [5000 * MEBIBYTE, "tail"],
    ]);
    const copy = copyOf(image);
    expect(statSync(file("packed")).size).toBeLessThan(3 * 4096);
    expect(statSync(copy).size).toBe(16 * 1024 * MEBIBYTE);
    expect(statSync(copy).blocks * 512).toBeLessThan(64 * 1024);
    expect(statSync(copy).mode & 0o777).toBe(0o600);
  });

  test("gets space for its first bytes if it is asked to, and is the same otherwise", async () => {
    const image = await makeImage("image", 16 * 1024 * MEBIBYTE, [[8192, "data"]]);
    packImage(image, file("packed"));
    unpackImage(file("packed"), file("copy"), undefined, MEBIBYTE);
    const { blocks, size } = statSync(file("copy"));
    expect(size).toBe(16 * 1024 * MEBIBYTE);
    expect(blocks * 512).toBeGreaterThanOrEqual(MEBIBYTE);
    expect(blocks * 512).toBeLessThan(2 * MEBIBYTE);
    packImage(file("copy"), file("again"));
    expect(readFileSync(file("again")).equals(readFileSync(file("packed")))).toBe(true);
  });

  test("that was cut short or is none is refused, and no half of a copy is left", async () => {
    packImage(await makeImage("image", SIZE, [[0, "head"]]), file("packed"));
    truncateSync(file("packed"), 1000);
    writeFileSync(file("none"), "this is no image");
    for (const name of ["packed", "none"]) {
      expect(() => unpackImage(file(name), file("copy"), undefined)).toThrow(
        /cannot read a packed disk image/,
      );
    }
    expect(() => statSync(file("copy"))).toThrow(/ENOENT/);
  });
});
