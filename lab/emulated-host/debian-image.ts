/**
 * The root of an emulated host with systemd: a small Debian that mmdebstrap(1) has made, as an EROFS image.
 *
 * mmdebstrap itself is unpacked into the cache's work directory, not installed. Mirror and transport settings are the
 * machine's. Needs root. Kept in the cache, where a change of the recipe or of the kernel makes another one.
 */
import { mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type Cache, contentKey } from "../../setup/lib/cache.ts";
import { run } from "../../setup/lib/command.ts";
import { makeDebian } from "../../setup/lib/mmdebstrap.ts";
import { needRoot } from "../../setup/lib/own-namespaces.ts";
import type { Progress } from "../../setup/lib/progress.ts";
import type { ErofsUtils } from "../../setup/steps/erofs-utils.ts";
import { blazarError } from "../../src/contracts/errors.ts";
import { quoted } from "./job.ts";
import type { HostKernel } from "./kernel.ts";

const KIND = "emulated-host-image";
/** Change it when the recipe below changes. */
const RECIPE = "2";
const SYSTEM = ["systemd-sysv", "udev", "dbus", "kmod", "procps", "iproute2", "iptables", "nftables"];

/** What is in an image. */
export interface DebianRecipe {
  readonly suite: string;
  readonly packages: readonly string[];
  /** It has a Node of its own: the machine's is not put into it. */
  readonly ownNode?: boolean;
  /**
   * Commands for a shell in the image, after its installation, with the network of this machine. What they leave in apt's
   * archives is there for apt in the emulated host, which has no network.
   */
  readonly last?: readonly string[];
}

/** What a Debian node has, what blazar runs on it, and the libraries of the machine's Node. */
export const DEBIAN_NODE: DebianRecipe = {
  suite: "bookworm",
  packages: [
    ...[...SYSTEM, "ca-certificates", "qemu-system-x86", "runc"],
    ...["containernetworking-plugins", "libstdc++6", "libatomic1"],
  ],
};

/** A Debian with systemd, and nothing else. */
export const BARE_SYSTEM = SYSTEM;

export interface ImageParts {
  readonly kernel: HostKernel;
  readonly erofsUtils: ErofsUtils | null;
}

/** Made if it is missing: 1 to 2 minutes, once. The caller holds the cache's lock. */
export async function debianImage(
  cache: Cache,
  recipe: DebianRecipe,
  parts: ImageParts,
  progress: Progress,
): Promise<string> {
  const { suite, packages, last = [] } = recipe;
  const key = contentKey([RECIPE, suite, parts.kernel.key, ...packages, "last", ...last]);
  const fill = () => cache.ensure(KIND, key, (entry) => build(cache, entry, recipe, parts));
  const why = `makes a Debian ${suite} with systemd by mmdebstrap (downloads 150 MB, keeps 300 MB), the emulated host's root`;
  const made = cache.has(KIND, key) ? await fill() : await progress.during("Debian image", why, fill);
  await cache.prune(KIND);
  return join(made, "root.erofs");
}

async function build(
  cache: Cache,
  entry: string,
  recipe: DebianRecipe,
  { kernel, erofsUtils }: ImageParts,
): Promise<void> {
  needRoot("make the image of an emulated host with systemd");
  if (erofsUtils === null) {
    const remedy = "run npm run setup and see why it goes on without erofs-utils";
    throw blazarError("DependencyMissing", "make the image of an emulated host", "there is no mkfs.erofs", {
      remedy,
    });
  }
  const work = join(entry, "work");
  const root = join(work, "root");
  await mkdir(work);
  await installDebian(cache, recipe, work, root);
  await settle(root, kernel);
  const [mkfs = "", ...args] = erofsUtils.mkfs;
  await run(mkfs, [...args, "--quiet", "-zlz4", join(entry, "root.erofs"), root]);
  await rm(work, { recursive: true });
}

async function installDebian(cache: Cache, recipe: DebianRecipe, work: string, root: string): Promise<void> {
  const { suite, packages, last = [] } = recipe;
  const options = [
    // what the last commands have fetched stays
    ...(last.length === 0 ? [] : ["--skip=cleanup/apt"]),
    ...last.map((command) => `--customize-hook=chroot "$1" sh -c ${quoted(command)}`),
  ];
  await makeDebian(cache, work, root, { suite, packages, options });
}

/** What differs from a Debian on a machine of its own. */
async function settle(root: string, { release, modules }: HostKernel): Promise<void> {
  const target = join(root, "lib", "modules", release);
  await mkdir(join(target, ".."), { recursive: true });
  await run("cp", ["-r", modules, target]);
  await run("chroot", [root, "depmod", release]);
  const files: Readonly<Record<string, string>> = {
    "etc/hostname": "emulated-host\n",
    "etc/hosts": "127.0.0.1 localhost emulated-host\n::1 localhost\n",
    // an empty one would begin the first boot, with its questions
    "etc/machine-id": "0123456789abcdef0123456789abcdef\n",
    // at boot Debian empties /tmp, where the checkout may be
    "etc/tmpfiles.d/tmp.conf": "",
    "etc/fstab": "",
  };
  for (const [name, text] of Object.entries(files)) {
    await mkdir(join(root, name, ".."), { recursive: true });
    await writeFile(join(root, name), text);
  }
  // nobody logs in, and nothing is downloaded
  const unwanted = ["getty@tty1.service", "serial-getty@ttyS0.service", "getty-static.service"];
  const timers = ["apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer", "e2scrub_all.timer"];
  await run("chroot", [root, "systemctl", "mask", "--quiet", ...unwanted, ...timers]);
}
