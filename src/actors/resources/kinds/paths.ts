/**
 * Whether paths are there, for the kinds that are files and directories.
 */
import { lstat } from "node:fs/promises";
import type { Presence } from "./kind.ts";

/** Present if any of them is there, a link that leads nowhere included. */
export async function presenceOf(...paths: readonly string[]): Promise<Presence> {
  const found = await Promise.all(paths.map((path) => lstat(path).then(() => true, missing)));
  if (found.includes(true)) return "present";
  return found.includes(undefined) ? "unknown" : "absent";
}

function missing(error: NodeJS.ErrnoException): false | undefined {
  return error.code === "ENOENT" || error.code === "ENOTDIR" ? false : undefined;
}
