/**
 * Unpacks an image archive of the share into layer directories that overlayfs can stack.
 *
 * For each layer, one child feeds the layer's bytes to another, whose root is the layer's directory and which unpacks them
 * (unpack-layer.ts). The feeder is the built-in root's busybox if the layer is compressed with gzip. The archive itself is
 * never copied.
 */
import * as sys from "sys";
import { check, checkValue, failure } from "../../../native/runtime/check.ts";
import { cloneChild, type ExitStatus } from "../../../native/runtime/child.ts";
import { makeDirectories } from "../../../native/runtime/files.ts";
import { decode, textCodec } from "../../../native/runtime/text-codec.ts";
import { blazarError } from "../../../src/contracts/errors.ts";
import type { AgentContext } from "../context.ts";
import { BUILTIN_ROOT } from "../guest-paths.ts";
import { type ArchiveIndex, type Extent, findLayers } from "./oci-archive.ts";
import { paddedSize, TAR_BLOCK, TarHeaders } from "./tar-format.ts";
import { unpackLayer } from "./unpack-layer.ts";

const BUSYBOX = `${BUILTIN_ROOT}/bin/busybox`;
const MAX_MEMBERS = 100_000;
const MAX_ERROR_BYTES = 4096;
const GZIP = [0x1f, 0x8b];
const ZSTD = [0x28, 0xb5, 0x2f, 0xfd];

/** Unpacks; returns the layers' directories relative to `directory`, the uppermost first. Throws InvalidRootfs. */
export async function unpackImage(
  context: AgentContext,
  archive: string,
  directory: string,
): Promise<string[]> {
  const fd = sys.open(archive, sys.O_RDONLY);
  if (fd < 0) throw failure(fd, "InvalidRootfs", "open the image archive", archive);
  try {
    const layers = findLayers(indexOf(fd));
    for (const [index, layer] of layers.entries()) {
      const target = `${directory}/l${index}`;
      makeDirectories(target);
      await unpack(context, archive, layer, magicOf(fd, layer), target);
    }
    if (layers.length === 0) makeDirectories(`${directory}/l0`);
    return layers.length === 0 ? ["l0"] : layers.map((_, index) => `l${index}`).reverse();
  } finally {
    sys.close(fd);
  }
}

/** Reads the headers of the archive's members, not their contents. */
function indexOf(fd: number): ArchiveIndex {
  const members = new Map<string, Extent>();
  const links = new Map<string, string>();
  const headers = new TarHeaders(textCodec);
  let offset = 0;
  try {
    for (let count = 0; ; count++) {
      if (count === MAX_MEMBERS) throw new Error(`more than ${MAX_MEMBERS} members`);
      const block = readAt(fd, offset, TAR_BLOCK);
      if (block.length < TAR_BLOCK) break;
      const header = headers.read(block);
      offset += TAR_BLOCK;
      if (header.kind === "end") break;
      if (header.kind === "extension") {
        headers.extend(header.typeFlag, readAt(fd, offset, header.size));
        offset += paddedSize(header.size);
        continue;
      }
      const { entry } = header;
      const name = plainName(entry.name);
      if (entry.type === "file") members.set(name, { offset, size: entry.size });
      // `docker save` writes a layer that it has written before as a link
      if (entry.type === "symlink") links.set(name, joined(name, entry.linkName));
      if (entry.type === "hardlink") links.set(name, plainName(entry.linkName));
      offset += paddedSize(entry.size);
    }
  } catch (cause) {
    throw blazarError(
      "InvalidRootfs",
      "read the image archive",
      `it is not an uncompressed tar: ${cause instanceof Error ? cause.message : String(cause)}`,
      { remedy: "give the image's tar uncompressed; only its layers may be compressed", cause },
    );
  }
  return {
    find: (name) => members.get(name) ?? members.get(links.get(name) ?? ""),
    readText: (extent) => decode(readAt(fd, extent.offset, extent.size)),
  };
}

function plainName(name: string): string {
  return name.replace(/^(\.?\/)+/, "").replace(/\/+$/, "");
}

/** The target of a relative link, as a name in the archive. */
function joined(name: string, target: string): string {
  const parts = name.split("/").slice(0, -1);
  for (const part of target.split("/")) {
    if (part === "..") parts.pop();
    else if (part !== "." && part !== "") parts.push(part);
  }
  return parts.join("/");
}

function readAt(fd: number, offset: number, size: number): Uint8Array {
  const bytes = new Uint8Array(size);
  let done = 0;
  while (done < size) {
    const count = check(
      sys.pread(fd, bytes.buffer, done, size - done, offset + done),
      "read the image archive",
    );
    if (count === 0) break;
    done += count;
  }
  return bytes.subarray(0, done);
}

function magicOf(fd: number, layer: Extent): Uint8Array {
  return readAt(fd, layer.offset, Math.min(4, layer.size));
}

async function unpack(
  context: AgentContext,
  archive: string,
  layer: Extent,
  magic: Uint8Array,
  target: string,
): Promise<void> {
  const has = (bytes: readonly number[]): boolean => bytes.every((byte, index) => magic[index] === byte);
  if (has(ZSTD)) {
    throw blazarError(
      "InvalidRootfs",
      "unpack the image",
      "a layer is compressed with zstd, which the guest cannot decompress",
      { remedy: "convert the image to gzip layers (skopeo copy --dest-compress-format gzip)" },
    );
  }
  const [reader, writer] = checkValue(sys.pipe2(0), "make a pipe");
  const [errorReader, errorWriter] = checkValue(sys.pipe2(0), "make a pipe");
  const children: Promise<ExitStatus>[] = [];
  try {
    const feed = (): number => {
      // while this end is open, a write would not fail when the other child has ended
      sys.close(reader);
      return has(GZIP) ? gunzip(archive, layer, writer) : copy(archive, layer, writer);
    };
    children.push(ended(context, cloneChild({}, feed)));
    children.push(
      ended(
        context,
        cloneChild({}, () => unpackChild(reader, errorWriter, target)),
      ),
    );
  } finally {
    for (const fd of [reader, writer, errorWriter]) sys.close(fd);
  }
  const [feeder, unpacker] = await Promise.all(children);
  const said = readError(errorReader);
  sys.close(errorReader);
  if (unpacker?.code === 0 && feeder?.code === 0) return;
  throw blazarError(
    "InvalidRootfs",
    "unpack a layer of the image",
    said === "" ? "the layer's data cannot be decompressed" : said,
  );
}

function ended(context: AgentContext, pid: number): Promise<ExitStatus> {
  return new Promise((resolve) => context.reaper.onExit(pid, resolve));
}

function readError(fd: number): string {
  const bytes = new Uint8Array(MAX_ERROR_BYTES);
  const count = sys.read(fd, bytes.buffer, 0, MAX_ERROR_BYTES);
  return count > 0 ? decode(bytes.subarray(0, count)) : "";
}

/** In a child: busybox reads the archive from the layer's first byte on, and stops where the gzip stream ends. */
function gunzip(archive: string, layer: Extent, output: number): number {
  const input = check(sys.open(archive, sys.O_RDONLY), "open the image archive", archive);
  check(sys.lseek(input, layer.offset, 0), "find a layer", archive);
  sys.dup2(input, 0);
  sys.dup2(output, 1);
  return check(sys.execve(BUSYBOX, ["busybox", "gunzip", "-c"], []), "execute busybox", BUSYBOX);
}

/** In a child: copies an uncompressed layer. */
function copy(archive: string, layer: Extent, output: number): number {
  const input = check(sys.open(archive, sys.O_RDONLY), "open the image archive", archive);
  check(sys.lseek(input, layer.offset, 0), "find a layer", archive);
  for (let left = layer.size; left > 0; ) {
    const count = sys.sendfile(output, input, Math.min(left, 1 << 20));
    if (count <= 0) return 1;
    left -= count;
  }
  return 0;
}

/** In a child: unpacks, with the layer's directory as its root. */
function unpackChild(input: number, errors: number, target: string): number {
  try {
    check(sys.chroot(target), "enter the layer", target);
    check(sys.chdir("/"), "enter the layer", target);
    sys.dup2(input, 0);
    sys.dup2(errors, 1);
    sys.closeRange(3, 0xffff_ffff, 0);
    unpackLayer(0, textCodec);
    return 0;
  } catch (error) {
    const text = textCodec.encode(error instanceof Error ? error.message : String(error));
    sys.write(1, text.buffer, 0, Math.min(text.length, MAX_ERROR_BYTES));
    return 1;
  }
}
