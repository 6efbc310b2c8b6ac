/**
 * The OCI image of the workloads: a Debian system that mmdebstrap(1) has made, with its maintainer scripts run.
 *
 * mmdebstrap itself is unpacked into the cache's work directory, not installed. Mirror and transport settings are the
 * machine's. Needs root. Kept in the cache, where a change of {@link PACKAGES} makes another one.
 */
import { existsSync } from "node:fs";
import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { AptRoot, acquireSettings } from "../../setup/lib/apt-root.ts";
import { Cache, contentKey } from "../../setup/lib/cache.ts";
import { run } from "../../setup/lib/command.ts";
import { findMirror } from "../../setup/lib/debian-mirror.ts";
import { withLock } from "../../setup/lib/lock.ts";
import type { Progress } from "../../setup/lib/progress.ts";
import { addLayer, packLayout } from "../images/archive.ts";

/** The image's name in its archive. */
export const WORKLOADS_IMAGE = "localhost/blazar/workloads-debian:latest";

const SUITE = "bookworm";
const PACKAGES = ["curl", "git", "nginx-light", "postgresql", "procps", "redis-server", "sqlite3"];
const KIND = "workloads-image";
const FORMAT = "1";
const PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const REMEDY =
  "check that this machine's apt sources reach a Debian mirror, and that root may mount and chroot here";

/** The image's archive in the cache, made if it is missing: 2 to 4 minutes, 600 MB, once. */
export async function workloadsImage(directory: string, progress: Progress): Promise<string> {
  const cache = new Cache(directory);
  const key = contentKey([FORMAT, SUITE, ...PACKAGES]);
  const waiting = (): void => progress.line("set-up is at work on this cache: waiting for it");
  const why = `makes a Debian ${SUITE} of ${PACKAGES.join(", ")} with mmdebstrap (downloads 150 MB, keeps 600 MB)`;
  const entry = await withLock(directory, waiting, async () => {
    const fill = () => cache.ensure(KIND, key, (partial) => build(cache, partial));
    const made = cache.has(KIND, key)
      ? await fill()
      : await progress.during("image of the workloads", why, fill);
    await cache.prune(KIND);
    return made;
  });
  return join(entry, "image.tar");
}

async function build(cache: Cache, entry: string): Promise<void> {
  const work = join(entry, "work");
  const [tool, tar, layout] = [join(work, "tool"), join(work, "root.tar"), join(work, "layout")];
  await mkdir(work);
  const apt = await AptRoot.open(join(cache.directory, "apt", SUITE), SUITE, "deb");
  await run("dpkg-deb", ["-x", await apt.download("mmdebstrap", work), tool]);
  const { uri, signedBy } = await findMirror("/etc/apt", existsSync);
  const transport = acquireSettings(await run("apt-config", ["dump"]));
  const options = [
    ...["--mode=root", "--variant=apt", "--format=tar", "--quiet", `--include=${PACKAGES.join(",")}`],
    ...transport.map((setting) => `--aptopt=${setting}`),
    ...(signedBy === undefined ? [] : [`--keyring=${signedBy}`]),
  ];
  const program = join(tool, "usr", "bin", "mmdebstrap");
  await run("perl", [program, ...options, SUITE, tar, uri], { remedy: REMEDY });
  const layer = await addLayer(layout, tar);
  const image = { name: WORKLOADS_IMAGE, process: { Env: [PATH], Cmd: ["bash"] } };
  await packLayout(layout, image, [layer], join(entry, "image.tar"));
  await rm(work, { recursive: true });
}
