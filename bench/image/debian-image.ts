/**
 * The OCI image that `files` measures: a Debian system of 20,000 files with Python, Node, Django, git and vim.
 *
 * It is made of Debian's packages alone, so it needs no registry: apt fetches and verifies them, dpkg-deb unpacks them,
 * and two layers are packed. Maintainer scripts do not run. Python's modules are compiled, as they would be on a Debian
 * that has installed them. Needs root (chroot). Kept in the cache, where a change of {@link PACKAGES} makes another one.
 */
import { mkdir, rm, symlink, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { addLayer, packLayout } from "../../lab/images/archive.ts";
import type { LayerBlob } from "../../lab/images/image-builder.ts";
import { AptRoot } from "../../setup/lib/apt-root.ts";
import { Cache, contentKey } from "../../setup/lib/cache.ts";
import { run } from "../../setup/lib/command.ts";
import { withLock } from "../../setup/lib/lock.ts";
import type { Progress } from "../output/progress.ts";

/** The image's name in its archive. */
export const DEBIAN_IMAGE = "localhost/blazar/bench-debian:latest";

const SUITE = "bookworm";
const SYSTEM = ["bash", "ca-certificates", "coreutils", "dash", "findutils", "locales", "tar", "tzdata"];
const PROGRAMS = ["git", "nodejs", "perl", "python3", "python3-django", "python3-numpy", "python3-pip"];
const PACKAGES = [...SYSTEM, ...PROGRAMS, "sqlite3", "vim"];
/** bookworm's packages expect a merged /usr, which debootstrap would make. */
const MERGED = ["bin", "lib", "lib64", "sbin"];
/** What the upper layer has; the lower one has the rest. */
const UPPER = ["usr/share", "usr/lib/python3"];
const KIND = "bench-image";
const FORMAT = "1";
const PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/** The image's archive in the cache, made if it is missing. */
export async function debianImage(directory: string, progress: Progress): Promise<string> {
  const cache = new Cache(directory);
  const key = contentKey([FORMAT, SUITE, ...PACKAGES]);
  const waiting = (): void => progress.line("set-up is at work on this cache: waiting for it");
  const entry = await withLock(directory, waiting, async () => {
    if (!cache.has(KIND, key)) progress.line("files: making the image of Debian's packages, once");
    const made = await cache.ensure(KIND, key, (partial) => build(cache, partial));
    await cache.prune(KIND);
    return made;
  });
  return join(entry, "image.tar");
}

async function build(cache: Cache, entry: string): Promise<void> {
  const work = join(entry, "work");
  const [packages, root, layout] = [join(work, "packages"), join(work, "root"), join(work, "layout")];
  const apt = await AptRoot.open(join(cache.directory, "apt", SUITE), SUITE, "deb");
  await unpack(await apt.downloadAll(PACKAGES, packages), root);
  await mkdir(layout, { recursive: true });
  const exclude = UPPER.map((path) => `--exclude=./${path}/*`);
  const layers = [
    await packLayer(layout, ["-C", root, ...exclude, "."]),
    await packLayer(layout, ["-C", root, ...UPPER.map((path) => `./${path}`)]),
  ];
  const image = { name: DEBIAN_IMAGE, process: { Env: [PATH], Cmd: ["bash"] } };
  await packLayout(layout, image, layers, join(entry, "image.tar"));
  await rm(work, { recursive: true });
}

/** A root directory of what is in the packages, and what their scripts would have made that is needed here. */
async function unpack(packages: readonly string[], root: string): Promise<void> {
  for (const name of MERGED) {
    await mkdir(join(root, "usr", name), { recursive: true });
    await symlink(`usr/${name}`, join(root, name));
  }
  const archive = join(dirname(root), "package.tar");
  for (const file of packages) {
    // not dpkg-deb -x, which would put a directory in the place of a merged one's link
    await run("sh", ["-c", 'dpkg-deb --fsys-tarfile "$1" > "$2"', "sh", file, archive]);
    await run("tar", ["-xf", archive, "-C", root, "--keep-directory-symlink"]);
  }
  await writeFile(join(root, "etc", "passwd"), "root:x:0:0:root:/root:/bin/bash\n");
  await writeFile(join(root, "etc", "group"), "root:x:0:\n");
  await run("chroot", [root, "python3", "-m", "compileall", "-q", "/usr/lib/python3.11", "/usr/lib/python3"]);
}

/** Packs files into a layer's blob. @param files arguments of tar(1) */
async function packLayer(layout: string, files: readonly string[]): Promise<LayerBlob> {
  const file = join(layout, "layer.tar");
  await run("tar", ["--sort=name", "--numeric-owner", "-cf", file, ...files]);
  return addLayer(layout, file);
}
