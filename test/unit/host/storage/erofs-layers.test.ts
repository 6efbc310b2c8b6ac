/** Which layers are disks already: by the mount table, loop devices and superblocks of a host in memory. */
import { describe, expect, test } from "vitest";
import { type ErofsHost, erofsDisks } from "../../../../src/host/storage/erofs-layers.ts";

const EROFS = 0xe0f5e1e2;
const EXT4 = 0xef53;

interface Layer {
  readonly type?: number;
  /** The mount's source; absent = not a mount point. */
  readonly source?: string;
  readonly filesystem?: string;
}

function superblock(extraDevices = 0, magic = EROFS): Buffer {
  const head = Buffer.alloc(2048);
  head.writeUInt32LE(magic, 1024);
  head.writeUInt16LE(extraDevices, 1024 + 86);
  return head;
}

function host(
  layers: Readonly<Record<string, Layer>>,
  files: Readonly<Record<string, Buffer>>,
  loops: Readonly<Record<string, string>> = {},
): ErofsHost {
  return {
    fileSystemType: async (directory) => layers[directory]?.type ?? EROFS,
    mountinfo: async () =>
      Object.entries(layers)
        .filter(([, { source }]) => source !== undefined)
        .map(
          ([point, { source, filesystem }]) =>
            `48 27 7:0 / ${point} ro - ${filesystem ?? "erofs"} ${source} ro\n`,
        )
        .join(""),
    loopFile: async (device) => loops[device],
    head: async (file, bytes) => files[file]?.subarray(0, bytes),
  };
}

describe("layers that are EROFS mounts", () => {
  test("are the files that they were mounted of, in their order, by loop or not", async () => {
    const layers = { "/s/2/fs": { source: "/s/2/layer.erofs" }, "/s/1/fs": { source: "/dev/loop7" } };
    const files = { "/s/2/layer.erofs": superblock(), "/s/1/layer.erofs": superblock() };
    const disks = erofsDisks(["/s/2/fs", "/s/1/fs"], host(layers, files, { loop7: "/s/1/layer.erofs" }));
    expect(await disks).toEqual(["/s/2/layer.erofs", "/s/1/layer.erofs"]);
  });

  test("are of what is mounted last at a place", async () => {
    const both = host({ "/s/1/fs": { source: "/new" } }, { "/new": superblock(), "/old": superblock() });
    const mountinfo = async () => `1 2 7:0 / /s/1/fs ro - erofs /old ro\n${await both.mountinfo()}`;
    expect(await erofsDisks(["/s/1/fs"], { ...both, mountinfo })).toEqual(["/new"]);
  });

  test.each<[string, ErofsHost]>([
    [
      "one is a directory of another file system",
      host({ "/a": { type: EXT4, source: "/f" } }, { "/f": superblock() }),
    ],
    ["one is below a mount point", host({}, { "/f": superblock() })],
    ["one is hidden by another file system", host({ "/a": { source: "tmpfs", filesystem: "tmpfs" } }, {})],
    ["its file's data is on further disks", host({ "/a": { source: "/f" } }, { "/f": superblock(2) })],
    ["its file is something else by now", host({ "/a": { source: "/f" } }, { "/f": superblock(0, 1) })],
    ["its file is too short", host({ "/a": { source: "/f" } }, { "/f": Buffer.alloc(100) })],
    ["its source is a block device", host({ "/a": { source: "/dev/dm-0" } }, {})],
    [
      "its loop device begins in the middle",
      host({ "/a": { source: "/dev/loop1" } }, { "/f": superblock() }),
    ],
    ["its source has no path", host({ "/a": { source: "erofs" } }, {})],
  ])("are directories if %s", async (_, given) => {
    expect(await erofsDisks(["/a"], given)).toBeUndefined();
  });

  test("are merged, if there are more of them than disks are worth it", async () => {
    const names = Array.from({ length: 17 }, (_, index) => `/l/${index}`);
    const layers = Object.fromEntries(names.map((name) => [name, { source: `${name}.erofs` }]));
    const files = Object.fromEntries(names.map((name) => [`${name}.erofs`, superblock()]));
    expect(await erofsDisks(names, host(layers, files))).toBeUndefined();
    expect(await erofsDisks(names.slice(1), host(layers, files))).toHaveLength(16);
    expect(await erofsDisks([], host(layers, files))).toBeUndefined();
  });
});
