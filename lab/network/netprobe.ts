/**
 * Compiles the network tests' own program (programs/netprobe.c), once for each state of its sources.
 */
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, readdir, readFile, rename } from "node:fs/promises";
import { join } from "node:path";
import { run } from "../../setup/lib/command.ts";
import { distDirectory, repoRoot } from "../../setup/lib/paths.ts";

const FLAGS = ["-static", "-O2", "-s", "-Wall", "-Wextra", "-Wno-format-truncation"];

/** The static program's path. Needs gcc and libc6-dev, which set-up has installed. */
export async function buildNetprobe(): Promise<string> {
  const directory = join(repoRoot(), "lab", "network", "programs");
  const names = (await readdir(directory)).sort();
  const hash = createHash("sha256").update(FLAGS.join(" "));
  for (const name of names) hash.update(await readFile(join(directory, name)));
  const program = join(distDirectory(), "netprobe", hash.digest("hex").slice(0, 16));
  if (existsSync(program)) return program;
  await mkdir(join(distDirectory(), "netprobe"), { recursive: true });
  const sources = names.filter((name) => name.endsWith(".c")).map((name) => join(directory, name));
  const made = `${program}.${process.pid}`;
  await run("gcc", [...FLAGS, "-o", made, ...sources]);
  await rename(made, program);
  return program;
}
