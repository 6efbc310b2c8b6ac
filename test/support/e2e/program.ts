/** Where the product and its parts are, for tests that run it as an operator does. */
import { join } from "node:path";
import { busyboxImage } from "../../../lab/images/busybox.ts";
import { type ImageProcess, writeImage } from "../../../lab/images/image-builder.ts";
import { programFile } from "../../../setup/lib/dist.ts";
import { type Artifacts, artifacts } from "../../../setup/steps/artifacts.ts";

/** The bundle that `npm test` has built. */
export function blazarProgram(): string {
  return programFile();
}

/** What set-up has built. */
export function built(): Artifacts {
  return artifacts();
}

/** Writes an image of busybox into a directory, for `blazar run --image`; returns the tar's path. */
export async function writeBusyboxImage(
  directory: string,
  name: string,
  process?: ImageProcess,
): Promise<string> {
  const file = join(directory, `${name.replaceAll(/[^a-z0-9]+/g, "-")}.tar`);
  const image = await busyboxImage(name, built().busybox);
  await writeImage(file, process === undefined ? image : { ...image, process });
  return file;
}
