/** Layers with everything that an image of them may get wrong, and listings of trees: layers.c. */
import { execFile } from "node:child_process";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const SOURCE = fileURLToPath(new URL("./layers.c", import.meta.url));
const LISTING_BYTES = 2 ** 26;
const run = promisify(execFile);

/** Compiles the program into a directory. Returns its path. */
export async function buildLayers(directory: string): Promise<string> {
  const program = path.join(directory, "layers");
  await run("musl-gcc", ["-static", "-O1", "-o", program, SOURCE]);
  return program;
}

/** Makes three layers; returns them, the topmost first. `count`: files of the largest directory. */
export async function makeLayers(program: string, directory: string, count: number): Promise<string[]> {
  await run(program, ["make", directory, String(count)]);
  return [2, 1, 0].map((layer) => path.join(directory, String(layer)));
}

/** A line for each entry of a tree, in bytes: names need not be UTF-8. */
export async function listTree(program: string, directory: string): Promise<string[]> {
  const { stdout } = await run(program, ["list", directory], {
    encoding: "latin1",
    maxBuffer: LISTING_BYTES,
  });
  return stdout.split("\n");
}
