/**
 * The text of a journal's file: read only if it is a regular file.
 *
 * A directory or a dead link cannot be read; a FIFO would be read for ever, and a device without an end.
 */
import { lstat, readFile } from "node:fs/promises";
import { blazarError } from "../../../contracts/errors.ts";

export async function readJournalText(path: string): Promise<string> {
  if ((await lstat(path)).isFile()) return readFile(path, "utf8");
  throw blazarError("HostResource", "read a journal", "it is no regular file", { subject: path });
}
