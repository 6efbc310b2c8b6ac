/**
 * Requests about volumes in the guest's memory: what is written into them, swapped, and removed.
 *
 * A volume is named by the host and mounted by containers. Each write is bounded by what a request may be.
 */
import { array, integer, object, oneOf, optional, string } from "../wire/json.ts";

const uint32 = integer(0, 0xffff_ffff);

/** A part of a file's content in base64 fits a string of a message. */
export const VOLUME_PART_CHARACTERS = 256 * 1024;

/** Something in a volume; what is there already of the same type is changed. */
export const volumePart = object({
  /** Relative to the volume; "" is the volume itself. */
  path: string,
  type: oneOf("directory", "file", "link"),
  mode: integer(0, 0o7777),
  uid: uint32,
  gid: uint32,
  mtimeMs: integer(Number.MIN_SAFE_INTEGER),
  /** Where the content belongs in a file. At 0 the file begins anew. */
  offset: integer(),
  /** Base64 of bytes of a file, or the target of a link. */
  content: string,
});
export type VolumePart = ReturnType<typeof volumePart>;

const volume = object({
  /** `[a-z0-9-]{1,31}`. */
  name: string,
  /** Bytes of a tmpfs of its own; undefined = among the copies that the guest has. */
  bytes: optional(integer(0)),
  parts: array(volumePart, 4096),
});

/** `volume.write`: makes volumes in the guest's memory, or writes more into them. */
export const volumeWrite = object({ volumes: array(volume, 1024) });
export type VolumeWrite = ReturnType<typeof volumeWrite>;

/** `volume.swap`: renames within a volume, each at once and over what is there; then removes trees. */
export const volumeSwap = object({
  name: string,
  renames: array(object({ from: string, to: string }), 8192),
  removed: array(string, 8192),
});
export type VolumeSwap = ReturnType<typeof volumeSwap>;

/** `volume.remove`: removes volumes that no container has. Those that are not there are no error. */
export const volumeRemove = object({ names: array(string, 1024) });
