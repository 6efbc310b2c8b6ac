/** Compiles the program with which tests use a file from several machines (probe.c): static, for host and containers. */
import { execFile } from "node:child_process";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

/** Makes `probe` in a directory. */
export async function buildVolumeProbe(directory: string): Promise<void> {
  const source = fileURLToPath(new URL("probe.c", import.meta.url));
  const flags = ["-std=gnu11", "-static", "-O1", "-Wall", "-Wextra", "-Werror"];
  await promisify(execFile)("musl-gcc", [...flags, "-o", path.join(directory, "probe"), source]);
}
