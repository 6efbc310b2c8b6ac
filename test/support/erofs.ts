/**
 * EROFS images for tests of VMs and guests: what the store of images would make of a directory, without the store.
 */
import { execFile } from "node:child_process";
import { chmod, stat, truncate } from "node:fs/promises";
import { promisify } from "node:util";
import { artifacts } from "../../setup/steps/artifacts.ts";
import { SLOT_BYTES } from "../../src/contracts/images.ts";

/** Makes `file` an image of a directory, of the size of a slot unless another one is asked for; any VMM may open it. */
export async function makeErofs(
  directory: string,
  file: string,
  bytes: number = SLOT_BYTES,
): Promise<string> {
  const [program = "mkfs.erofs", ...args] = artifacts().erofsUtils?.mkfs ?? [];
  await promisify(execFile)(program, [...args, "--quiet", file, directory]);
  await truncate(file, Math.max(bytes, (await stat(file)).size));
  await chmod(file, 0o444);
  return file;
}
