/**
 * mmdebstrap(1): a Debian in a directory of its own. The tool is unpacked, not installed. Needs root.
 *
 * Mirror and transport settings are the machine's.
 */
import { existsSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import path from "node:path";
import { AptRoot, acquireSettings } from "./apt-root.ts";
import type { Cache } from "./cache.ts";
import { run } from "./command.ts";
import { findMirror } from "./debian-mirror.ts";

/** Where the tool is from. */
const SUITE = "bookworm";
const REMEDY =
  "check that this machine's apt sources reach a Debian mirror, and that root may mount and chroot here";

export interface NewDebian {
  readonly suite: string;
  readonly packages: readonly string[];
  /** More of mmdebstrap's options. */
  readonly options?: readonly string[];
}

/** @param work an empty directory, for the tool; @param root is made */
export async function makeDebian(cache: Cache, work: string, root: string, debian: NewDebian): Promise<void> {
  await mkdir(work, { recursive: true });
  const apt = await AptRoot.open(path.join(cache.directory, "apt", SUITE), SUITE, "deb");
  const tool = path.join(work, "tool");
  await run("dpkg-deb", ["-x", await apt.download("mmdebstrap", work), tool]);
  const { uri, signedBy } = await findMirror("/etc/apt", existsSync);
  const transport = acquireSettings(await run("apt-config", ["dump"]));
  const options = [
    ...["--mode=root", "--variant=apt", "--format=directory", "--quiet"],
    `--include=${debian.packages.join(",")}`,
    ...transport.map((setting) => `--aptopt=${setting}`),
    ...(signedBy === undefined ? [] : [`--keyring=${signedBy}`]),
    ...(debian.options ?? []),
  ];
  await run("perl", [path.join(tool, "usr", "bin", "mmdebstrap"), ...options, debian.suite, root, uri], {
    remedy: REMEDY,
  });
}
