/**
 * Both packages of a release, from what set-up has built.
 */
import { mkdir, rm } from "node:fs/promises";
import path from "node:path";
import { buildDist } from "../lib/dist.ts";
import type { Progress } from "../lib/progress.ts";
import type { Artifacts } from "../steps/artifacts.ts";
import { contents } from "./contents.ts";
import { makeDeb } from "./deb.ts";
import type { Release } from "./release.ts";
import { makeTarball } from "./tarball.ts";

export interface Packages {
  readonly deb: string;
  readonly tarball: string;
}

/** Where they will be. */
export function packageNames(directory: string, { version }: Release): Packages {
  const name = path.join(directory, `blazar_${version}_amd64`);
  return { deb: `${name}.deb`, tarball: `${name}.tar.gz` };
}

export async function makePackages(
  directory: string,
  release: Release,
  built: Artifacts,
  progress: Progress,
): Promise<Packages> {
  const work = path.join(directory, `work-${release.version}`);
  await rm(work, { recursive: true, force: true });
  await mkdir(work, { recursive: true });
  const bundle = path.join(work, "bundle");
  await buildDist(progress, { directory: bundle, version: release.version, sourceMaps: false });
  const entries = await contents(release, built, bundle);
  const made = packageNames(directory, release);
  const tree = path.join(work, "tree");
  await makeDeb(made.deb, entries, release, tree);
  await makeTarball(made.tarball, entries, release, tree);
  await rm(work, { recursive: true });
  return made;
}
