/**
 * The empty writable layer without its holes: a package cannot have a sparse file (tar(5), dpkg writes zeroes).
 */
import { open } from "node:fs/promises";
import { type EmptyExt4, readExtents } from "../steps/empty-ext4.ts";

/** The extents one after the other, and their list, which says so (src/workers/images/disk-image.ts). */
export async function packedLayer(
  layer: EmptyExt4,
): Promise<{ readonly image: Buffer; readonly extents: string }> {
  const list = await readExtents(layer.extents);
  await using file = await open(layer.image, "r");
  const pieces: Buffer[] = [];
  for (const [offset, length] of list.extents)
    pieces.push((await file.read(Buffer.alloc(length), 0, length, offset)).buffer);
  return { image: Buffer.concat(pieces), extents: `${JSON.stringify({ ...list, packed: true })}\n` };
}
