/**
 * Compiles a C program of the lab's own, once for each state of its sources.
 */
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, readFile, rename } from "node:fs/promises";
import { dirname, join } from "node:path";
import { run } from "../../setup/lib/command.ts";
import { distDirectory } from "../../setup/lib/paths.ts";

const FLAGS = ["-static", "-O2", "-s", "-Wall", "-Wextra", "-Wno-format-truncation"];

/** Programs that are being compiled, by their paths: whoever asks meanwhile waits for the same one. */
const underWay = new Map<string, Promise<void>>();

/**
 * The static program's path. Needs gcc and libc6-dev, which set-up has installed.
 * @param files its sources, and the headers that they include
 */
export async function compile(name: string, files: readonly string[]): Promise<string> {
  const hash = createHash("sha256").update(FLAGS.join(" "));
  for (const file of files) hash.update(await readFile(file));
  const directory = join(distDirectory(), name);
  const program = join(directory, hash.digest("hex").slice(0, 16));
  if (existsSync(program)) return program;
  const making = underWay.get(program) ?? make(program, files).finally(() => underWay.delete(program));
  underWay.set(program, making);
  await making;
  return program;
}

async function make(program: string, files: readonly string[]): Promise<void> {
  await mkdir(dirname(program), { recursive: true });
  const made = `${program}.${process.pid}`;
  await run("gcc", [...FLAGS, "-o", made, ...files.filter((file) => file.endsWith(".c"))]);
  await rename(made, program);
}
