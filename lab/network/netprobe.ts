/**
 * The network tests' own program (programs/netprobe.c).
 */
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { repoRoot } from "../../setup/lib/paths.ts";
import { compile } from "../host/compile.ts";

/** The static program's path. */
export async function buildNetprobe(): Promise<string> {
  const directory = join(repoRoot(), "lab", "network", "programs");
  const names = (await readdir(directory)).sort();
  return compile(
    "netprobe",
    names.map((name) => join(directory, name)),
  );
}
