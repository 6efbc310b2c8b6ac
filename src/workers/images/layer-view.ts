/**
 * The merged view of a chain of layers on the host, and a quick look at how much it is.
 *
 * An overlay shows what a container would see: whiteouts and what they hide are gone. Read-only, nosuid, nodev and noexec
 * (mount(2), overlayfs.rst). Must not write into a layer. Synchronous: for workers.
 */
import { closeSync, constants, type Dirent, lstatSync, mkdirSync, opendirSync, openSync } from "node:fs";
import path from "node:path";
import { dropPages, systemError } from "../libc/libc.ts";
import { HARMLESS, mountPrivately } from "../mounts/mounts.ts";
import { overlayData } from "./overlay-data.ts";

/** Mounts the view at `<directory>/view`, which it makes. Throws MountFailed, MountOptionsTooLong, InvalidRootfs. */
export function mountView(lower: readonly string[], directory: string): string {
  const [view, empty] = [path.join(directory, "view"), path.join(directory, "empty")];
  mkdirSync(view);
  mkdirSync(empty);
  // An overlay without an upper takes two layers at least. The empty one is the lowest: the root is the topmost's.
  const layers = lower.length === 1 ? [...lower, empty] : lower;
  const data = overlayData(layers, directory);
  const failure = mountPrivately({
    type: "overlay",
    source: "overlay",
    target: view,
    options: HARMLESS,
    ...data,
  });
  if (failure === undefined) return view;
  const about = { operation: "mount the layers", subject: directory, what: failure.step };
  throw systemError("MountFailed", failure.errno, about);
}

/** Whether the layers have no more than so many entries and bytes; stops looking at the first that is too much. */
export function areSmall(lower: readonly string[], entries: number, bytes: number): boolean {
  const left = { entries, bytes };
  for (const { entry, file } of entriesBelow(lower)) {
    left.entries--;
    if (entry.isFile()) left.bytes -= lstatSync(file, { throwIfNoEntry: false })?.size ?? 0;
    if (left.entries < 0 || left.bytes < 0) return false;
  }
  return true;
}

/** Bytes of all files below a directory, hard links once; stops looking above `most`. */
export function fileBytes(directory: string, most: number): number {
  const links = new Set<number>();
  let bytes = 0;
  for (const { entry, file } of entriesBelow([directory])) {
    if (!entry.isFile()) continue;
    const { size, nlink, ino } = lstatSync(file);
    if (nlink > 1 && links.has(ino)) continue;
    if (nlink > 1) links.add(ino);
    bytes += size;
    if (bytes > most) break;
  }
  return bytes;
}

/** Has the kernel drop what it keeps in memory of all files below directories. What cannot be opened stays. */
export function dropFiles(roots: readonly string[]): void {
  for (const { entry, file } of entriesBelow(roots)) {
    if (!entry.isFile()) continue;
    try {
      dropFile(file);
    } catch {
      // it costs memory, which the kernel takes back when it is short of it
    }
  }
}

function dropFile(file: Buffer): void {
  const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = constants;
  const fd = openSync(file, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  try {
    dropPages(fd);
  } finally {
    closeSync(fd);
  }
}

/** Names are bytes: they need not be UTF-8. */
function* entriesBelow(
  roots: readonly string[],
): Generator<{ readonly entry: Dirent; readonly file: Buffer }> {
  const directories = roots.map((root) => Buffer.from(root));
  for (let each = directories.pop(); each !== undefined; each = directories.pop()) {
    const opened = opendirSync(each, { encoding: "latin1" });
    try {
      for (let entry = opened.readSync(); entry !== null; entry = opened.readSync()) {
        const file = Buffer.concat([each, Buffer.from("/"), Buffer.from(entry.name, "latin1")]);
        if (entry.isDirectory()) directories.push(file);
        yield { entry, file };
      }
    } finally {
      opened.closeSync();
    }
  }
}
