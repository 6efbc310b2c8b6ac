/**
 * How a copy becomes what the host has now: the steps between two states of a directory, in an order that nobody can trip on.
 *
 * Pure. kubelet's AtomicWriter replaces all files of a volume at once, by renaming the link `..data`. So does the guest: what
 * is new is written beside what there is; then links and files are renamed over the old ones, `..data` first; then the rest is
 * removed. A file is never seen half written.
 */
import type { VolumeEntry } from "../../../contracts/volumes.ts";

/**
 * An entry as it is remembered: a file's content is told by its version. So is a link's, if it is an earlier daemon that has
 * remembered it.
 */
export type KnownEntry = Omit<VolumeEntry, "content"> & { readonly content: string | undefined };

export interface VolumeChanges {
  /** To be removed before anything is written: something of another type comes to its place. */
  readonly cleared: readonly string[];
  readonly written: readonly VolumeEntry[];
  readonly renames: readonly { readonly from: string; readonly to: string }[];
  readonly removed: readonly string[];
}

const DATA_LINK = "..data";
/** Beginning of the names of what is about to be renamed; kubelet's own begin with two dots, too. */
const BESIDE = "..new-";

/** What is remembered of entries: contents are not, they may be large and secret. */
export function known(entries: readonly VolumeEntry[]): KnownEntry[] {
  return entries.map((entry) => ({ ...entry, content: entry.type === "link" ? entry.content : undefined }));
}

/** Parents come before what is in them, in both lists. */
export function changesBetween(before: readonly KnownEntry[], after: readonly VolumeEntry[]): VolumeChanges {
  const old = new Map(before.map((entry) => [entry.path, entry]));
  const present = new Map(after.map((entry) => [entry.path, entry]));
  const cleared: string[] = [];
  const written: VolumeEntry[] = [];
  const renames: { from: string; to: string }[] = [];
  const isTaken = (path: string) => old.has(path) || present.has(path);
  let count = 0;
  const writeBeside = (entry: VolumeEntry) => {
    const directory = entry.path.includes("/") ? `${parentOf(entry.path)}/` : "";
    let from: string;
    // the entry's own name may be as long as a name can be
    do from = `${directory}${BESIDE}${count++}`;
    while (isTaken(from));
    written.push({ ...entry, path: from });
    renames.push({ from, to: entry.path });
  };
  for (const entry of after) {
    const was = old.get(entry.path);
    if (was !== undefined && isSame(was, entry)) continue;
    if (was !== undefined && (was.type === "directory") !== (entry.type === "directory")) {
      cleared.push(entry.path);
      written.push(entry);
    } else if (entry.type === "directory" || (was === undefined && entry.path.includes("/")))
      written.push(entry);
    else writeBeside(entry);
  }
  renames.sort((a, b) => Number(b.to === DATA_LINK) - Number(a.to === DATA_LINK));
  const removed = before
    .filter(
      ({ path }) => !present.has(path) && present.has(parentOf(path)) && !cleared.includes(parentOf(path)),
    )
    .map(({ path }) => path);
  return { cleared, written, renames, removed };
}

function isSame(was: KnownEntry, now: VolumeEntry): boolean {
  if (was.type !== now.type || was.mode !== now.mode || was.uid !== now.uid || was.gid !== now.gid)
    return false;
  if (now.type === "link" && was.content !== undefined) return was.content === now.content;
  return now.type === "directory" || was.version === now.version;
}

function parentOf(path: string): string {
  return path.slice(0, Math.max(0, path.lastIndexOf("/")));
}
