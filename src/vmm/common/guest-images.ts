/** The guest's kernel and initramfs: whether they are there. */
import { stat } from "node:fs/promises";
import { type BlazarError, blazarError, reasonOf } from "../../contracts/errors.ts";

/** Throws DependencyMissing if one of them is not a file. */
export async function checkGuestImages(paths: readonly string[]): Promise<void> {
  await Promise.all(paths.map(checkImage));
}

async function checkImage(path: string): Promise<void> {
  const found = await stat(path).catch((cause: unknown) => {
    throw missing(path, reasonOf(cause), cause);
  });
  if (!found.isFile()) throw missing(path, "it is not a file");
}

function missing(path: string, reason: string, cause?: unknown): BlazarError {
  const remedy = "run: npm run setup";
  return blazarError("DependencyMissing", "find the guest's kernel and initramfs", reason, {
    subject: path,
    remedy,
    cause,
  });
}
