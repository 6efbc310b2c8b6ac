/**
 * A file of a package, before it is written: where it goes, and what is in it.
 */
import { readdir, readlink } from "node:fs/promises";
import path from "node:path";

export type Entry = {
  /** Below /, without a slash at its beginning: `usr/bin/blazar`. */
  readonly path: string;
} & (
  | { readonly source: string; readonly mode: number }
  | { readonly content: string | Buffer; readonly mode: number }
  | { readonly link: string }
);

export const FILE = 0o644;
export const PROGRAM = 0o755;

export function copied(target: string, source: string, mode = FILE): Entry {
  return { path: target, source, mode };
}

export function written(target: string, content: string | Buffer, mode = FILE): Entry {
  return { path: target, content, mode };
}

/** All files and links below a directory, but for those whose path there is not wanted. */
export async function tree(
  target: string,
  source: string,
  wanted: (file: string) => boolean = () => true,
  mode: (file: string) => number = () => FILE,
): Promise<Entry[]> {
  const found = await readdir(source, { recursive: true, withFileTypes: true });
  const files = found
    .filter((each) => !each.isDirectory())
    .map((each) => ({
      file: path.relative(source, path.join(each.parentPath, each.name)),
      isLink: each.isSymbolicLink(),
    }))
    .filter(({ file }) => wanted(file))
    .sort((a, b) => (a.file < b.file ? -1 : 1));
  return Promise.all(
    files.map(async ({ file, isLink }) => {
      const [place, from] = [path.join(target, file), path.join(source, file)];
      return isLink ? { path: place, link: await readlink(from) } : copied(place, from, mode(file));
    }),
  );
}
