/**
 * `blazar image ls|prepare|rm|verify`: reads options, calls standalone/images.ts and prints what comes of it.
 */
import { resolve } from "node:path";
import { blazarError } from "../contracts/errors.ts";
import type { Logger } from "../contracts/logger.ts";
import { ImageAdmin, type ImageSource } from "../standalone/images.ts";
import { LineLog } from "../standalone/logs/line-log.ts";
import { verboseLog } from "../standalone/logs/verbose-log.ts";
import { imageTable } from "../standalone/template-tables.ts";
import { FAILED, printed } from "./printed.ts";

/** What all of them take. */
export interface ImageOptions {
  /** The daemon's configuration file. */
  readonly config?: string;
  /** Shows what is done and how long it took. */
  readonly verbose?: boolean;
}

/** What `ls` takes besides. */
export interface ImageListOptions extends ImageOptions {
  readonly json?: boolean;
}

/** Prints the images, the last used first. Returns the exit code. */
export async function listImages(options: ImageListOptions): Promise<number> {
  const store = await admin(options);
  const images = await store.list();
  const json = () => `${JSON.stringify(images, undefined, 2)}\n`;
  const table = () => imageTable(images, new Date()) || `no images in ${store.directory}\n`;
  process.stdout.write(options.json === true ? json() : table());
  return 0;
}

/**
 * Makes the image of an OCI image, by its name, or of a chain of directories, the topmost first; prints its key. Returns the
 * exit code.
 */
export async function prepareImage(words: readonly string[], options: ImageOptions): Promise<number> {
  const source = imageSource(words);
  const image = await (await admin(options)).prepare(source);
  if (image === undefined) return FAILED;
  process.stdout.write(`${image.key}\n`);
  return 0;
}

/** Removes images, named by their keys or the beginnings of these. Returns the exit code. */
export async function removeImages(keys: readonly string[], options: ImageOptions): Promise<number> {
  const images = await admin(options);
  return printed("removed", (done) => images.remove(keys, done));
}

/** Reads the named images, or all, and says which are whole. Returns the exit code. */
export async function verifyImages(keys: readonly string[], options: ImageOptions): Promise<number> {
  const images = await admin(options);
  return printed("whole", (done) => images.verify(keys, done));
}

/** A directory begins with a slash or a dot, as no name of an OCI image does. Throws InvalidArgument. */
export function imageSource(words: readonly string[]): ImageSource {
  if (words.includes("")) throw blazarError("InvalidArgument", "prepare an image", "a name is empty");
  const names = words.filter((word) => !/^[./]/.test(word));
  const [reference] = names;
  if (reference === undefined) return { layers: words.map((word) => resolve(word)) };
  if (words.length === 1) return { reference };
  const remedy = "give one name, or directories that begin with / or ./";
  const about = { subject: reference, remedy };
  throw blazarError("InvalidArgument", "prepare an image", "it is no directory's path, and not alone", about);
}

function admin({ config, verbose }: ImageOptions): Promise<ImageAdmin> {
  const logger: Logger = verbose === true ? verboseLog() : new LineLog();
  return ImageAdmin.open(config, logger);
}
