/**
 * What is in a file: the sandboxes of a journal, of a bundle (a tar, also gzipped), or of `blazar inspect -o json`.
 */
import type { SandboxDetail } from "../../src/contracts/inspection.ts";
import { detailsIn } from "../model/checked.ts";
import { isTar, readTar } from "../model/tar.ts";

const decoder = new TextDecoder();

/** @throws Error if there is no sandbox in it */
export async function sandboxesOf(bytes: Uint8Array<ArrayBuffer>): Promise<SandboxDetail[]> {
  const plain = isGzip(bytes) ? await unzipped(bytes) : bytes;
  const texts = isTar(plain)
    ? readTar(plain).map((file) => decoder.decode(file.bytes))
    : [decoder.decode(plain)];
  const found = texts.flatMap(sandboxesIn);
  if (found.length === 0) throw new Error("it is no journal, and no bundle with a sandbox in it");
  return found;
}

function sandboxesIn(text: string): SandboxDetail[] {
  try {
    return detailsIn(JSON.parse(text));
  } catch {
    return [];
  }
}

function isGzip(bytes: Uint8Array): boolean {
  return bytes[0] === 0x1f && bytes[1] === 0x8b;
}

/** More is no bundle. */
const MOST_UNZIPPED = 512 << 20;

async function unzipped(bytes: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer>> {
  const reader = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip")).getReader();
  const pieces: Uint8Array<ArrayBuffer>[] = [];
  let length = 0;
  for (let next = await reader.read(); !next.done; next = await reader.read()) {
    length += next.value.length;
    if (length > MOST_UNZIPPED) throw new Error("it unpacks to more than a bundle holds");
    pieces.push(next.value);
  }
  return new Uint8Array(await new Blob(pieces).arrayBuffer());
}
