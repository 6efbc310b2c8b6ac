/**
 * Builds OCI images on the spot, so that nobody needs a registry: image-spec's image-layout.md, manifest.md, config.md.
 *
 * The tar goes into containerd by `ctr -n k8s.io images import`, under the name in its annotation, and into
 * `blazar run --image` as it is.
 */
import { createHash } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { gzipSync } from "node:zlib";
import { type TarFile, writeTar } from "./tar-writer.ts";

/** What an image says of its process; the names are image-spec's. */
export interface ImageProcess {
  readonly Env?: readonly string[];
  readonly Entrypoint?: readonly string[];
  readonly Cmd?: readonly string[];
  readonly WorkingDir?: string;
  readonly User?: string;
  /** Paths of volumes, each with an empty object. */
  readonly Volumes?: Readonly<Record<string, Readonly<Record<string, never>>>>;
}

export interface ImageSpec {
  /** As CRI names it: `docker.io/library/blazar-demo:latest`. */
  readonly name: string;
  /** The lowest first. */
  readonly layers: readonly (readonly TarFile[])[];
  readonly process?: ImageProcess;
  /** Layers as .tar.gz, as registries have them. */
  readonly gzip?: boolean;
}

const INDEX = "application/vnd.oci.image.index.v1+json";
const MANIFEST = "application/vnd.oci.image.manifest.v1+json";
const CONFIG = "application/vnd.oci.image.config.v1+json";
/** A layer that is a plain tar. */
export const LAYER = "application/vnd.oci.image.layer.v1.tar";

/** Writes the image as a tar of an OCI layout. */
export async function writeImage(file: string, image: ImageSpec): Promise<void> {
  await writeFile(file, buildImage(image));
}

/** A layer that is a blob already. */
export interface LayerBlob {
  readonly mediaType: string;
  /** Of the blob and of the tar in it: the same unless it is compressed. */
  readonly digest: string;
  readonly diffId: string;
  readonly size: number;
}

/** The tar's bytes. */
export function buildImage(image: ImageSpec): Buffer {
  const blobs: TarFile[] = [];
  const layers = image.layers.map((files): LayerBlob => {
    const tar = writeTar(files);
    const content = image.gzip === true ? gzipSync(tar) : tar;
    const mediaType = image.gzip === true ? `${LAYER}+gzip` : LAYER;
    blobs.push({ path: blobPath(sha256(content)), content });
    return { mediaType, digest: sha256(content), diffId: sha256(tar), size: content.length };
  });
  return writeTar([...layoutFiles(image, layers), ...blobs]);
}

/** What an image's layout has beside its layers' blobs: index, manifest, configuration. */
export function layoutFiles(
  image: Pick<ImageSpec, "name" | "process">,
  layers: readonly LayerBlob[],
): TarFile[] {
  const blobs = new Map<string, Buffer>();
  const store = (mediaType: string, content: Buffer): { mediaType: string; digest: string; size: number } => {
    const digest = sha256(content);
    blobs.set(digest, content);
    return { mediaType, digest, size: content.length };
  };
  const architecture = process.arch === "arm64" ? "arm64" : "amd64";
  const rootfs = { type: "layers", diff_ids: layers.map(({ diffId }) => diffId) };
  const config = store(CONFIG, json({ os: "linux", architecture, config: image.process ?? {}, rootfs }));
  const descriptors = {
    schemaVersion: 2,
    mediaType: MANIFEST,
    config,
    layers: layers.map(({ mediaType, digest, size }) => ({ mediaType, digest, size })),
  };
  const manifest = store(MANIFEST, json(descriptors));
  const annotations = {
    "io.containerd.image.name": image.name,
    "org.opencontainers.image.ref.name": image.name.split(":").at(-1) ?? "latest",
  };
  const index = { schemaVersion: 2, mediaType: INDEX, manifests: [{ ...manifest, annotations }] };
  return [
    { path: "oci-layout", content: json({ imageLayoutVersion: "1.0.0" }) },
    { path: "index.json", content: json(index) },
    { path: "blobs", type: "directory" },
    { path: "blobs/sha256", type: "directory" },
    ...[...blobs].map(([digest, content]) => ({ path: blobPath(digest), content })),
  ];
}

/** Where a layout has the blob of a digest. */
export function blobPath(digest: string): string {
  return `blobs/sha256/${digest.replace("sha256:", "")}`;
}

function json(value: unknown): Buffer {
  return Buffer.from(JSON.stringify(value));
}

function sha256(content: Buffer): string {
  return `sha256:${createHash("sha256").update(content).digest("hex")}`;
}
