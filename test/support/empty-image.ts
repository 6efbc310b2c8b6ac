/**
 * A small stand-in for set-up's empty ext4 image: sparse, with recognisable bytes at its listed extents.
 */
import { open, writeFile } from "node:fs/promises";
import path from "node:path";
import type { EmptyImage } from "../../src/workers/images/disk-image.ts";

export const EMPTY_IMAGE_SIZE = 64 * 1024 * 1024;
export const EMPTY_IMAGE_EXTENTS: readonly (readonly [number, number])[] = [
  [0, 8192],
  [1_048_576, 4096],
  [50_331_648, 4096],
];

/** Writes `empty.ext4` and `extents.json` into `directory`. */
export async function makeEmptyImage(directory: string): Promise<EmptyImage> {
  const image = path.join(directory, "empty.ext4");
  const extents = path.join(directory, "extents.json");
  const file = await open(image, "w");
  try {
    await file.truncate(EMPTY_IMAGE_SIZE);
    for (const [offset, length] of EMPTY_IMAGE_EXTENTS)
      await file.write(Buffer.alloc(length, 0x5a), 0, length, offset);
  } finally {
    await file.close();
  }
  await writeFile(extents, JSON.stringify({ size: EMPTY_IMAGE_SIZE, extents: EMPTY_IMAGE_EXTENTS }));
  return { image, extents };
}
