/** Where the product and its parts are, for tests that run it as an operator does. */
import { readFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { busyboxImage, type ImageProcess, writeImage } from "../../../lab/image-builder.ts";
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

/** Writes an image of busybox into a directory; returns the tar's path. */
export async function writeBusyboxImage(
  directory: string,
  name: string,
  process?: ImageProcess,
): Promise<string> {
  const { busybox } = built();
  const list = (await readFile(busybox.applets, "utf8")).split("\n").filter((line) => line !== "");
  const image = await busyboxImage(
    name,
    busybox.binary,
    list.map((path) => basename(path)),
  );
  const file = join(directory, `${name.replaceAll(/[^a-z0-9]+/g, "-")}.tar`);
  await writeImage(file, process === undefined ? image : { ...image, process });
  return file;
}
