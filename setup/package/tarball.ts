/**
 * The tarball, for nodes without dpkg: the same tree, to be unpacked below /, with scripts that install and remove it.
 */
import { rm } from "node:fs/promises";
import path from "node:path";
import { run } from "../lib/command.ts";
import { repoRoot } from "../lib/paths.ts";
import { CONFIG_FILE } from "./deb.ts";
import { copied, type Entry, PROGRAM, written } from "./entry.ts";
import type { Release } from "./release.ts";
import { stage } from "./stage.ts";

const HOME = "usr/lib/blazar";
const SCRIPTS = ["install.sh", "uninstall.sh"];

/** @param work a directory for the tree, which is removed */
export async function makeTarball(
  target: string,
  entries: readonly Entry[],
  release: Release,
  work: string,
): Promise<void> {
  const files = [
    ...entries,
    // install.sh copies it, unless the administrator has one
    copied(`${CONFIG_FILE}.dist`, path.join(repoRoot(), "deploy", "blazar.toml")),
    ...SCRIPTS.map((name) => copied(`${HOME}/${name}`, path.join(repoRoot(), "packaging", name), PROGRAM)),
  ];
  await stage(work, [...files, written(`${HOME}/files`, list(files))], release.epoch);
  const owner = ["--owner=0", "--group=0", "--numeric-owner"];
  const order = ["--sort=name", "--format=gnu", `--mtime=@${release.epoch}`];
  // the directories above are the node's own
  const archive = `${target}.tar`;
  await run("tar", ["--create", `--file=${archive}`, ...owner, ...order, "--directory", work, "etc", "usr"]);
  await run("gzip", ["--no-name", "--force", archive]);
  await run("mv", [`${archive}.gz`, target]);
  await rm(work, { recursive: true });
}

/** By which uninstall.sh removes them; those that it needs itself are the last. */
function list(files: readonly Entry[]): string {
  const own = `${HOME}/files`;
  const paths = files.map((each) => each.path).filter((each) => each !== `${HOME}/uninstall.sh`);
  return [...paths, `${HOME}/uninstall.sh`, own].map((each) => `${each}\n`).join("");
}
