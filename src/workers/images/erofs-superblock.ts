/**
 * Reads and checks the superblock of an EROFS image: erofs_fs.h of the kernel.
 *
 * It is at byte 1,024. Its checksum (CRC-32C without the final inversion) covers what is left of the first block. Pure.
 */
const OFFSET = 1024;
const MAGIC = 0xe0f5e1e2;
const CHECKSUM_AT = 4;
const FEATURES_AT = 8;
const BLOCK_BITS_AT = 12;
const BLOCKS_AT = 36;
const HAS_CHECKSUM = 0x1;
const LEAST_BLOCK_BITS = 9;
const MOST_BLOCK_BITS = 16;
/** Castagnoli's polynomial, bits reversed. */
const POLYNOMIAL = 0x82f63b78;

/** So many bytes are enough to read, whatever the block size. */
export const SUPERBLOCK_BYTES = 2 ** MOST_BLOCK_BITS;

/** The image's size in bytes by its superblock, or what is wrong with it. @param head the image's first bytes */
export function erofsSize(head: Buffer): number | string {
  if (head.length < 2 * OFFSET) return "it is too short for an EROFS image";
  if (head.readUInt32LE(OFFSET) !== MAGIC) return "it is no EROFS image";
  const bits = head.readUInt8(OFFSET + BLOCK_BITS_AT);
  if (bits < LEAST_BLOCK_BITS || bits > MOST_BLOCK_BITS || head.length < 2 ** bits)
    return `its block size is wrong (2^${bits})`;
  if ((head.readUInt32LE(OFFSET + FEATURES_AT) & HAS_CHECKSUM) === 0) return "its superblock has no checksum";
  const end = 2 ** bits > OFFSET ? 2 ** bits : OFFSET + 2 ** bits;
  const covered = Buffer.from(head.subarray(OFFSET, end));
  covered.writeUInt32LE(0, CHECKSUM_AT);
  if (crc32c(covered) !== head.readUInt32LE(OFFSET + CHECKSUM_AT))
    return "its superblock's checksum is wrong";
  return head.readUInt32LE(OFFSET + BLOCKS_AT) * 2 ** bits;
}

function crc32c(bytes: Buffer): number {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ ((crc & 1) === 1 ? POLYNOMIAL : 0);
  }
  return crc >>> 0;
}
