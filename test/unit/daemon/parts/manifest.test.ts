import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, describe, expect, it, vi } from "vitest";
import {
  cacheDirectory,
  packageConfig,
  packageManifest,
  readManifest,
} from "../../../../src/daemon/parts/manifest.ts";
import { temporaryDirectory } from "../../../support/temporary-directory.ts";

afterEach(() => vi.unstubAllEnvs());

const MANIFEST = {
  ...{ keeper: "bin/keeper", fileServer: "bin/fileserver", forkLibrary: null, passt: "passt" },
  ...{ vmlinux: "guest/vmlinux", initramfs: "guest/initramfs.cpio", busybox: { binary: "/srv/busybox" } },
  erofsUtils: {
    directory: "erofs-utils",
    mkfs: ["erofs-utils/lib/ld.so", "--library-path", "erofs-utils/lib", "erofs-utils/mkfs.erofs"],
  },
  emptyExt4: { image: "layer/empty", extents: "layer/extents.json" },
};

describe("the manifest of a package", () => {
  it("is above the bundle, and its paths are its directory's, wherever that is", async () => {
    const root = await temporaryDirectory();
    const bundle = join(root, "dist");
    await mkdir(bundle);
    expect(packageManifest(bundle)).toBeUndefined();
    await writeFile(join(root, "parts.json"), JSON.stringify(MANIFEST));
    const file = packageManifest(bundle);
    expect(file).toBe(join(root, "parts.json"));
    expect(await readManifest(file ?? "")).toEqual({
      ...{ keeper: join(root, "bin/keeper"), fileServer: join(root, "bin/fileserver"), forkLibrary: null },
      ...{ passt: join(root, "passt"), vmlinux: join(root, "guest/vmlinux"), busybox: MANIFEST.busybox },
      initramfs: join(root, "guest/initramfs.cpio"),
      erofsUtils: {
        directory: join(root, "erofs-utils"),
        mkfs: MANIFEST.erofsUtils.mkfs.map((word) => (word.startsWith("-") ? word : join(root, word))),
      },
      emptyExt4: { image: join(root, "layer/empty"), extents: join(root, "layer/extents.json") },
    });
  });

  it("is not there in a checkout, whose cache and configuration are a person's own", () => {
    vi.stubEnv("BLAZAR_CACHE", "/srv/cache");
    expect([packageManifest(), packageConfig(), cacheDirectory()]).toEqual([
      ...[undefined, undefined, "/srv/cache"],
    ]);
    vi.stubEnv("BLAZAR_CACHE", undefined);
    expect(cacheDirectory()).toMatch(/\.cache\/blazar$/);
  });
});
