/**
 * Step: a static busybox from bookworm's busybox-static, for the guest's built-in root and for images of the lab.
 *
 * It is unpacked into the cache, not installed: the package would replace the machine's own busybox. Must stay one file
 * and the list of its applets.
 */
import { copyFile, mkdir, rm, writeFile } from "node:fs/promises";
import path from "node:path";
import { AptRoot } from "../lib/apt-root.ts";
import { type Cache, contentKey } from "../lib/cache.ts";
import { run } from "../lib/command.ts";
import type { Step } from "./steps.ts";

/** A static busybox. */
export interface Busybox {
  readonly binary: string;
  /** A file with the applets' paths, one a line, without leading slash. */
  readonly applets: string;
  readonly key: string;
}

const SUITE = "bookworm";
const PACKAGE = "busybox-static";

export function busyboxStep(cache: Cache): Step<Busybox> {
  const key = contentKey(["1", SUITE, PACKAGE]);
  const ensure = async (): Promise<Busybox> => {
    const entry = await cache.ensure("busybox", key, (directory) => build(cache, directory));
    return { binary: path.join(entry, "busybox"), applets: path.join(entry, "applets"), key };
  };
  return {
    name: "busybox",
    why: `downloads Debian ${SUITE}'s ${PACKAGE} (1 MB, not installed), the guest's built-in root file system`,
    upToDate: async () => (cache.has("busybox", key) ? await ensure() : undefined),
    run: ensure,
  };
}

async function build(cache: Cache, entry: string): Promise<void> {
  const work = path.join(entry, "work");
  await mkdir(work);
  const apt = await AptRoot.open(path.join(cache.directory, "apt", SUITE), SUITE, "deb");
  await run("dpkg-deb", ["-x", await apt.download(PACKAGE, work), path.join(work, "unpacked")]);
  const binary = path.join(entry, "busybox");
  await copyFile(path.join(work, "unpacked", "bin", "busybox"), binary);
  await writeFile(path.join(entry, "applets"), await run(binary, ["--list-full"]));
  await rm(work, { recursive: true });
}
