/**
 * A busybox with all applets, static, compiled from Debian's source with upstream's default configuration.
 *
 * Debian's busybox-static lacks pgrep, ipcs and others, and its shell runs applets without looking at PATH. critest
 * counts on what upstream's image has. Not a part of set-up: only `npm run test:critest` needs it.
 */
import { copyFile, mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { availableParallelism } from "node:os";
import path from "node:path";
import { AptRoot } from "../lib/apt-root.ts";
import { Cache, contentKey } from "../lib/cache.ts";
import { run } from "../lib/command.ts";
import { withLock } from "../lib/lock.ts";
import { cacheDirectory } from "../lib/paths.ts";
import type { Progress } from "../lib/progress.ts";

const SUITE = "bookworm";
/** Needs headers of a kernel that is older than the machine's, and nobody's containers shape traffic with it. */
const LEFT_OUT = "TC";
const REMEDY = "install gcc, make and libc6-dev (apt-get install build-essential), then run again";

/** The binary, and the file with its applets' paths, one a line. */
export interface FullBusybox {
  readonly binary: string;
  readonly applets: string;
}

/** Both, built first if they are missing: 1 to 3 minutes, once. */
export async function fullBusybox(progress: Progress): Promise<FullBusybox> {
  const cache = new Cache(cacheDirectory());
  const key = contentKey(["1", SUITE, LEFT_OUT]);
  const waiting = (): void => progress.line("set-up is at work on this cache: waiting for it");
  const why = `downloads Debian ${SUITE}'s source of busybox and compiles it with all applets`;
  const entry = await withLock(cache.directory, waiting, async () => {
    const fill = () => cache.ensure("full-busybox", key, (directory) => build(cache, directory));
    return cache.has("full-busybox", key) ? await fill() : await progress.during("full busybox", why, fill);
  });
  return { binary: path.join(entry, "busybox"), applets: path.join(entry, "applets") };
}

async function build(cache: Cache, entry: string): Promise<void> {
  const work = path.join(entry, "work");
  await mkdir(work);
  const apt = await AptRoot.open(path.join(cache.directory, "apt", `${SUITE}-src`), SUITE, "deb-src");
  await apt.downloadNewestSource("busybox", work);
  const archive = (await readdir(work)).find((name) => name.includes(".orig.tar."));
  const options = { cwd: work, remedy: REMEDY };
  await run("tar", ["-xf", archive ?? "busybox.orig.tar.bz2", "--strip-components=1"], options);
  await run("make", ["defconfig"], options);
  await configure(path.join(work, ".config"));
  await run("make", [`-j${availableParallelism()}`, "busybox"], options);
  const binary = path.join(entry, "busybox");
  await copyFile(path.join(work, "busybox"), binary);
  await writeFile(path.join(entry, "applets"), await run(binary, ["--list-full"]));
  await rm(work, { recursive: true });
}

async function configure(file: string): Promise<void> {
  const text = await readFile(file, "utf8");
  const changed = text
    .replace("# CONFIG_STATIC is not set", "CONFIG_STATIC=y")
    .replace(`CONFIG_${LEFT_OUT}=y`, `# CONFIG_${LEFT_OUT} is not set`);
  await writeFile(file, changed);
}
