/**
 * Packs files of the host into an image's archive: for images that are too large to be made in memory.
 *
 * image-builder.ts has the formats. A layout is a directory while it is filled, and a tar at the end.
 */
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { mkdir, rename, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { run } from "../../setup/lib/command.ts";
import { blobPath, type ImageSpec, LAYER, type LayerBlob, layoutFiles } from "./image-builder.ts";

/** Takes a tar into the layout as a layer; the file is moved. */
export async function addLayer(layout: string, tar: string): Promise<LayerBlob> {
  await mkdir(join(layout, "blobs", "sha256"), { recursive: true });
  const hash = createHash("sha256");
  await pipeline(createReadStream(tar), hash);
  const digest = `sha256:${hash.digest("hex")}`;
  const { size } = await stat(tar);
  await rename(tar, join(layout, blobPath(digest)));
  return { mediaType: LAYER, digest, diffId: digest, size };
}

/** Writes the archive of a layout whose layers are in it. */
export async function packLayout(
  layout: string,
  image: Pick<ImageSpec, "name" | "process">,
  layers: readonly LayerBlob[],
  archive: string,
): Promise<void> {
  for (const file of layoutFiles(image, layers))
    if (file.type !== "directory") await writeFile(join(layout, file.path), file.content ?? "");
  await run("tar", ["-cf", archive, "-C", layout, "."]);
}
