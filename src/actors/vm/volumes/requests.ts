/**
 * Requests that write volumes: each small enough that the guest is not kept from others for long.
 */
import type { VolumeEntry, VolumeOwner } from "../../../contracts/volumes.ts";
import {
  VOLUME_PART_CHARACTERS,
  type VolumePart,
  type VolumeWrite,
} from "../../../protocol/guest/volumes.ts";

/** A volume, or a part of one, that the guest is to have. */
export interface VolumeContent {
  readonly name: string;
  /** Of a tmpfs of its own. */
  readonly bytes?: number | undefined;
  readonly parts: readonly VolumePart[];
}

/** What one request may carry. */
const REQUEST_CHARACTERS = 2 * VOLUME_PART_CHARACTERS;
const REQUEST_PARTS = 512;
/** Base64 has three bytes in four characters. */
const PART_BYTES = (VOLUME_PART_CHARACTERS / 4) * 3;

/** An entry as parts of a message. */
export function partsOf({ version: _, ...entry }: VolumeEntry): VolumePart[] {
  const mtimeMs = Math.trunc(entry.mtimeMs);
  if (entry.type !== "file") return [{ ...entry, mtimeMs, offset: 0 }];
  const parts: VolumePart[] = [];
  for (let start = 0, offset = 0; start === 0 || start < entry.content.length; ) {
    const content = entry.content.slice(start, start + VOLUME_PART_CHARACTERS);
    parts.push({ ...entry, mtimeMs, offset, content });
    start += VOLUME_PART_CHARACTERS;
    offset += PART_BYTES;
  }
  return parts;
}

export function directoryPart(path: string, owner: VolumeOwner): VolumePart {
  return { path, type: "directory", ...owner, mtimeMs: 0, offset: 0, content: "" };
}

/** The requests for some volumes, in order. */
export function writesOf(contents: readonly VolumeContent[]): VolumeWrite[] {
  const writes: VolumeWrite[] = [];
  let volumes: VolumeWrite["volumes"] = [];
  let characters = 0;
  let count = 0;
  const flush = () => {
    if (volumes.length > 0) writes.push({ volumes });
    volumes = [];
    characters = 0;
    count = 0;
  };
  for (const { name, bytes, parts } of contents) {
    let current: VolumePart[] | undefined;
    for (const part of parts) {
      if (count === REQUEST_PARTS || characters + part.content.length > REQUEST_CHARACTERS) {
        flush();
        current = undefined;
      }
      if (current === undefined) {
        current = [];
        volumes.push({ name, bytes, parts: current });
      }
      current.push(part);
      characters += part.content.length;
      count++;
    }
  }
  flush();
  return writes;
}
