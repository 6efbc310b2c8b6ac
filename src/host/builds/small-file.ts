/**
 * Reads a small file of a store: a description, a mark.
 *
 * What is no such file (a symlink, a FIFO, a device, something large) is refused, so that nothing waits or grows with it.
 */
import { constants } from "node:fs";
import { open } from "node:fs/promises";
import * as z from "zod/mini";
import { reasonOf } from "../../contracts/errors.ts";

const MOST_BYTES = 2 ** 20;

/** Throws ENOENT if it is not there, and an Error that says what is wrong with it. */
export async function readSmallFile(path: string, most = MOST_BYTES): Promise<string> {
  const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  try {
    const found = await file.stat();
    if (!found.isFile()) throw new Error("it is no file");
    if (found.size > most) throw new Error(`it has ${found.size} bytes`);
    return await file.readFile("utf8");
  } finally {
    await file.close();
  }
}

/** What is wrong with a description, in one line. */
export function problemOf(error: unknown): string {
  if (!(error instanceof z.core.$ZodError)) return reasonOf(error).split("\n")[0] ?? "";
  const [issue] = error.issues;
  return `${issue?.path.join(".") || "all of it"}: ${issue?.message ?? "unknown"}`;
}
