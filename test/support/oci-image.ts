/**
 * Images for tests, built on the spot from busybox: plain, with many layers, with foreign owners, with whiteouts.
 */
import { execFileSync } from "node:child_process";
import { busyboxImageOf } from "../../lab/images/busybox.ts";
import type { ImageSpec } from "../../lab/images/image-builder.ts";
import type { TarFile } from "../../lab/images/tar-writer.ts";

/** @param busybox a static one */
export async function testImage(
  busybox = "/bin/busybox",
  name = "docker.io/library/blazar-test:1",
): Promise<ImageSpec> {
  const applets = execFileSync(busybox, ["--list"], { encoding: "utf8" }).trim().split("\n");
  return await busyboxImageOf(name, busybox, applets);
}

/** The image with further layers on top, the lowest first. */
export function withLayers(
  image: ImageSpec,
  name: string,
  ...layers: readonly (readonly TarFile[])[]
): ImageSpec {
  return { ...image, name, layers: [...image.layers, ...layers] };
}

/** A layer that tells how far up it is: `/layers/<n>` and, in all of them, `/top`. */
export function numberedLayers(count: number): TarFile[][] {
  return Array.from({ length: count }, (_, index) => [
    { path: "layers", type: "directory" },
    { path: `layers/${index}`, content: `${index}\n` },
    { path: "top", content: `${index}\n` },
  ]);
}

/** Files that unpacking without care gets wrong. */
export function awkwardLayer(): TarFile[] {
  return [
    { path: "owned", type: "directory", uid: 1234, gid: 5678, mode: 0o750 },
    { path: "owned/secret", content: "root only\n", mode: 0o600 },
    { path: "owned/theirs", content: "theirs\n", uid: 1234, gid: 5678, mode: 0o640 },
    { path: "owned/setuid", content: "#!/bin/sh\n", mode: 0o4755 },
    { path: "owned/link", type: "symlink", target: "theirs" },
    // a link's header says the same of the one inode: the last one counts
    { path: "owned/hard", type: "hardlink", target: "owned/theirs", uid: 1234, gid: 5678, mode: 0o640 },
    { path: `owned/${"long-name-".repeat(15)}`, content: "long\n" },
  ];
}

/** Takes a file of a layer below away (image-spec: whiteouts). */
export function whiteout(path: string): TarFile {
  const slash = path.lastIndexOf("/");
  return { path: `${path.slice(0, slash + 1)}.wh.${path.slice(slash + 1)}`, content: "" };
}
