/**
 * Finds an image's layers inside its tar: an OCI image layout (image-spec, image-layout.md), or the output of
 * `docker save` (manifest.json).
 *
 * Works on an index of the tar, without unpacking it. Chooses the first image for this platform. The image's configuration
 * is the host's business.
 */
import { type BlazarError, blazarError, reasonOf } from "../../../src/contracts/errors.ts";
import { isRecord } from "../../../src/protocol/wire/json.ts";

/** Where a member's bytes lie in the archive. */
export interface Extent {
  readonly offset: number;
  readonly size: number;
}

/** The members of a tar by name, and their text. */
export interface ArchiveIndex {
  find(name: string): Extent | undefined;
  readText(extent: Extent): string;
}

const MAX_MANIFEST_BYTES = 4 << 20;
/** An index may point to indexes; real images nest less. */
const MAX_INDEX_DEPTH = 4;
/** overlayfs's options have no room for more. */
const MAX_LAYERS = 128;

/** The layers, lowest first. Throws InvalidRootfs. */
export function findLayers(archive: ArchiveIndex): Extent[] {
  const names = archive.find("index.json") !== undefined ? ociLayers(archive) : dockerLayers(archive);
  if (names.length > MAX_LAYERS)
    throw unusable(`it has ${names.length} layers, but only ${MAX_LAYERS} are supported`);
  return names.map((name) => archive.find(name) ?? missing(name));
}

function ociLayers(archive: ArchiveIndex): string[] {
  let document = readJson(archive, "index.json");
  for (let depth = 0; Array.isArray(document["manifests"]); depth++) {
    if (depth === MAX_INDEX_DEPTH) throw unusable("its indexes are nested too deeply");
    document = readJson(archive, blobName(chooseManifest(document["manifests"])));
  }
  const layers = document["layers"];
  if (!Array.isArray(layers)) throw unusable("its manifest names no layers");
  return layers.map(blobName);
}

function chooseManifest(manifests: readonly unknown[]): unknown {
  const fits = (manifest: unknown): boolean => {
    const platform = isRecord(manifest) ? manifest["platform"] : undefined;
    return !isRecord(platform) || (platform["os"] === "linux" && platform["architecture"] === "amd64");
  };
  return manifests.find(fits) ?? unsupportedPlatform();
}

function dockerLayers(archive: ArchiveIndex): string[] {
  if (archive.find("manifest.json") === undefined) {
    throw unusable("it has neither an index.json (OCI layout) nor a manifest.json (docker save)");
  }
  const [first] = readList(archive, "manifest.json");
  const layers = isRecord(first) ? first["Layers"] : undefined;
  if (!Array.isArray(layers)) throw unusable("its manifest.json names no layers");
  return layers.map((layer) => (typeof layer === "string" ? layer : missing(String(layer))));
}

/** The name of the member that a descriptor points to. */
function blobName(descriptor: unknown): string {
  const digest = isRecord(descriptor) ? descriptor["digest"] : undefined;
  const parts = typeof digest === "string" ? /^([a-z0-9]+):([a-f0-9]+)$/.exec(digest) : null;
  if (parts === null) throw unusable("a descriptor of its manifest has no digest");
  return `blobs/${parts[1]}/${parts[2]}`;
}

function readJson(archive: ArchiveIndex, name: string): Record<string, unknown> {
  const value = parse(archive, name);
  return isRecord(value) ? value : unusableMember(name, "is not an object");
}

function readList(archive: ArchiveIndex, name: string): unknown[] {
  const value = parse(archive, name);
  return Array.isArray(value) ? value : unusableMember(name, "is not a list");
}

function parse(archive: ArchiveIndex, name: string): unknown {
  const extent = archive.find(name) ?? missing(name);
  if (extent.size > MAX_MANIFEST_BYTES) unusableMember(name, `has ${extent.size} bytes`);
  try {
    return JSON.parse(archive.readText(extent));
  } catch (error) {
    return unusableMember(name, reasonOf(error));
  }
}

function unusable(reason: string): BlazarError {
  return blazarError("InvalidRootfs", "read the image archive", reason, {
    remedy: "use an image written by `docker save`, `skopeo copy … oci-archive:` or `ctr images export`",
  });
}

function unusableMember(name: string, reason: string): never {
  throw unusable(`${name} ${reason}`);
}

function missing(name: string): never {
  throw unusable(`${name} is not in it`);
}

function unsupportedPlatform(): never {
  throw unusable("it has no image for linux/amd64");
}
