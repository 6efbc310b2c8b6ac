/**
 * Keeps a store of files within a limit on disk: the least recently used go, but none in use.
 *
 * Nothing is dropped if that cannot make enough room. Must not know what is kept.
 */
import { blazarError } from "../../contracts/errors.ts";

/** What is kept. */
export interface Kept {
  readonly key: string;
  /** Allocated on disk. */
  readonly bytes: number;
}

/** The store, as far as it matters here. */
export interface KeptFiles {
  /** What comes, for errors: `"a template"`. */
  readonly what: string;
  readonly remedy: string;
  /** All that is kept, the last used first. */
  list(): Promise<readonly Kept[]>;
  held(key: string): Promise<boolean>;
  /** False = it is in use after all. */
  remove(key: string): Promise<boolean>;
  onDropped(key: string, bytes: number): void;
}

/** Drops the least recently used until so many bytes more are within the limit. Throws ResourceExhausted. */
export async function makeRoom(bytes: number, limit: number, files: KeptFiles): Promise<void> {
  const oldestFirst = [...(await files.list())].reverse();
  const held = await Promise.all(oldestFirst.map(({ key }) => files.held(key)));
  const kept = oldestFirst.filter((_, index) => held[index] === true);
  const unavoidable = total(kept) + bytes;
  if (unavoidable > limit) throw noRoom(files, unavoidable, limit);
  let used = total(oldestFirst) + bytes;
  for (const each of oldestFirst) {
    if (used <= limit) return;
    if (kept.includes(each) || !(await files.remove(each.key))) continue;
    used -= each.bytes;
    files.onDropped(each.key, each.bytes);
  }
  if (used > limit) throw noRoom(files, used, limit);
}

function total(kept: readonly Kept[]): number {
  return kept.reduce((sum, { bytes }) => sum + bytes, 0);
}

function noRoom({ what, remedy }: KeptFiles, bytes: number, limit: number) {
  const reason = `with those in use it would be ${bytes} bytes, the limit is ${limit}`;
  return blazarError("ResourceExhausted", `make room for ${what}`, reason, { remedy });
}
