/**
 * A root for rehearsals, made from what set-up has built.
 *
 * It is like an image: with an /etc that lacks the files that a sandbox adds, and with the mount points that images have.
 */
import { chmod, copyFile, mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Config } from "./config/schema.ts";

const DIRECTORIES = ["bin", "dev", "etc", "proc", "root", "sys", "tmp"];

/** Where it is. */
export function rehearsalRoot(config: Config): string {
  return join(config.daemon.state_directory, "rehearsal");
}

export async function makeRehearsalRoot(config: Config, busybox: string): Promise<void> {
  const root = rehearsalRoot(config);
  await Promise.all(DIRECTORIES.map((name) => mkdir(join(root, name), { recursive: true })));
  const program = join(root, "bin", "true");
  await copyFile(busybox, program);
  await chmod(program, 0o755);
  await writeFile(join(root, "etc", "passwd"), "root:x:0:0:root:/root:/bin/sh\n");
}
