import { expect, test } from "vitest";
import { bookkeepingBytes, emptyGroups } from "../../../setup/steps/empty-ext4.ts";

const LISTING = `Flex block group size:    256

Group 0: (Blocks 0-32767) csum 0xe25d [ITABLE_ZEROED]
  Block bitmap at 3 (+3)
  Inode bitmap at 131 (+131)
  Inode table at 259-770 (+259)
  0 free blocks, 8181 free inodes, 2 directories, 8181 unused inodes
Group 1: (Blocks 32768-65535) csum 0x4154 [INODE_UNINIT, BLOCK_UNINIT, ITABLE_ZEROED]
  32504 free blocks, 8192 free inodes, 0 directories, 8192 unused inodes
Group 2: (Blocks 65536-98303) csum 0x4b95 [INODE_UNINIT, BLOCK_UNINIT, ITABLE_ZEROED]
  32768 free blocks, 8192 free inodes, 0 directories, 8192 unused inodes
Group 3: (Blocks 98304-98403) csum 0x68a0 [INODE_UNINIT, ITABLE_ZEROED]
  100 free blocks, 8192 free inodes, 0 directories, 8192 unused inodes
`;

test("the block groups whose bitmaps are all zeroes are those without a block in use that mke2fs left to the kernel", () => {
  expect(emptyGroups(LISTING)).toEqual([2]);
});

test("the superblock, the group descriptors and all bitmaps are before the first inode table", () => {
  expect(bookkeepingBytes(LISTING)).toBe(259 * 4096);
  expect(bookkeepingBytes("nothing of the kind")).toBe(0);
});
