/**
 * The image that `files` measures, as it was asked for: a reference that containerd pulls, a tar, or Debian's own.
 */
import { existsSync } from "node:fs";
import { runProgram } from "../../lab/host/program.ts";
import { blazarError, reasonOf } from "../../src/contracts/errors.ts";
import type { BenchNode } from "../node/bench-node.ts";
import type { Progress } from "../output/progress.ts";
import { DEBIAN_IMAGE, debianImage } from "./debian-image.ts";

/** An image that nodes can be given. */
export interface GivenImage {
  readonly name: string;
  /** A tar of an OCI layout; undefined = a reference that is pulled. */
  readonly archive: string | undefined;
}

/** @param asked a reference or a tar's path; undefined = Debian's, made in the cache if it is not there */
export async function givenImage(
  asked: string | undefined,
  cache: string,
  progress: Progress,
): Promise<GivenImage> {
  if (asked === undefined) return { name: DEBIAN_IMAGE, archive: await debianImage(cache, progress) };
  if (!existsSync(asked)) return { name: asked, archive: undefined };
  return { name: await nameIn(asked), archive: asked };
}

export async function putInto(node: BenchNode, { name, archive }: GivenImage): Promise<void> {
  if (archive === undefined) await node.pullImage(name);
  else await node.importArchive(archive, name);
}

/** The name in the layout's index. */
async function nameIn(archive: string): Promise<string> {
  const remedy = "give a tar of one image, as `ctr images export` and `npm run bench -- files` make it";
  const fail = (reason: string, cause?: unknown) =>
    blazarError("InvalidArgument", "read the image's name", reason, { subject: archive, remedy, cause });
  let name: unknown;
  try {
    const member = ["-xOf", archive, "--wildcards", "--no-anchored", "index.json"];
    const { manifests } = JSON.parse(await runProgram("tar", member)) as {
      manifests: { annotations?: Record<string, string> }[];
    };
    name = manifests[0]?.annotations?.["io.containerd.image.name"];
  } catch (cause) {
    throw fail(reasonOf(cause), cause);
  }
  if (typeof name === "string") return name;
  throw fail("its index has no io.containerd.image.name");
}
