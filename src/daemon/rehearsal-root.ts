/**
 * A root for rehearsals, made from what set-up has built, and a pod's directory like a kubelet's.
 *
 * The root is like an image: with an /etc that lacks the files that a sandbox adds, and with the mount points that images have.
 */
import { chmod, copyFile, mkdir, rm, symlink, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { REHEARSAL_POD, rehearsalPodDirectory } from "../actors/supply/ahead/rehearsal-volumes.ts";
import { BlazarError } from "../contracts/errors.ts";
import type { ImageStore } from "../contracts/images.ts";
import type { Logger } from "../contracts/logger.ts";
import { within } from "../lib/async.ts";
import type { Config } from "./config/schema.ts";

const DIRECTORIES = ["bin", "dev", "etc", "proc", "root", "sys", "tmp"];

/** A rehearsal without an image is one of the share: pods then find images slower, and nothing else is wrong. */
const IMAGE_MS = 3000;

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
  await makeRehearsalPod(rehearsalPodDirectory(root));
}

/** What a kubelet binds into every container. */
async function makeRehearsalPod(directory: string): Promise<void> {
  await rm(directory, { recursive: true, force: true });
  const token = join(directory, REHEARSAL_POD.token);
  const files = ["token", "ca.crt", "namespace"];
  await mkdir(join(token, "..rehearsal"), { recursive: true });
  await symlink("..rehearsal", join(token, "..data"));
  for (const name of files) {
    await writeFile(join(token, "..rehearsal", name), "rehearsal");
    await symlink(`..data/${name}`, join(token, name));
  }
  const { hosts, terminationLog } = REHEARSAL_POD;
  await mkdir(dirname(join(directory, terminationLog)), { recursive: true });
  await writeFile(join(directory, terminationLog), "");
  await writeFile(join(directory, hosts), "127.0.0.1\tlocalhost\n");
}

/** Makes its image, so that rehearsals go the way of pods. Waits for it, but not long. */
export async function makeRehearsalImage(
  config: Config,
  images: Pick<ImageStore, "prepare">,
  logger: Logger,
): Promise<void> {
  const made = images.prepare([rehearsalRoot(config)]).catch((error: unknown) => {
    if (error instanceof BlazarError && error.code === "Unimplemented") return;
    logger.warn({ err: error }, "there is no image for rehearsals: they go by the share");
  });
  await within(made, IMAGE_MS);
}
