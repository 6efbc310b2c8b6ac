/**
 * The .deb: the tree and its control files (deb(5), deb-control(5)), packed by dpkg-deb(1).
 *
 * Node and QEMU are Debian's. containerd is only recommended: many nodes have one that is no package. The other programs are in
 * the package, because Debian 12 and 13 have none that are new enough.
 */
import { createHash } from "node:crypto";
import { readdir, readFile, rm, stat } from "node:fs/promises";
import path from "node:path";
import { run } from "../lib/command.ts";
import { repoRoot } from "../lib/paths.ts";
import { copied, type Entry, PROGRAM, written } from "./entry.ts";
import type { Release } from "./release.ts";
import { stage } from "./stage.ts";

export const CONFIG_FILE = "etc/blazar/blazar.toml";

const KIBIBYTE = 1024;
const SCRIPTS = ["postinst", "prerm", "postrm"];
const OVERRIDES = "usr/share/lintian/overrides/blazar";

/** @param work a directory for the tree, which is removed */
export async function makeDeb(
  target: string,
  entries: readonly Entry[],
  release: Release,
  work: string,
): Promise<void> {
  const packaging = path.join(repoRoot(), "packaging");
  const files = [
    ...entries,
    copied(CONFIG_FILE, path.join(repoRoot(), "deploy", "blazar.toml")),
    copied(OVERRIDES, path.join(packaging, "debian", "lintian-overrides")),
  ];
  await stage(work, files, release.epoch);
  const data = await readTree(work);
  const control: Entry[] = [
    written("DEBIAN/control", controlFile(release, data.bytes)),
    written("DEBIAN/conffiles", `/${CONFIG_FILE}\n`),
    written("DEBIAN/md5sums", data.sums),
    ...SCRIPTS.map((name) => copied(`DEBIAN/${name}`, path.join(packaging, "debian", name), PROGRAM)),
  ];
  await stage(work, [...files, ...control], release.epoch);
  // gzip, because a node under load shall not unpack xz, and Debian's archive has no zstd (lintian)
  const options = ["--root-owner-group", "-Zgzip", "-z9", "--threads-max=1", "--build"];
  await run("dpkg-deb", [...options, work, target], {
    env: { SOURCE_DATE_EPOCH: `${release.epoch}` },
    remedy: "dpkg-deb is Debian's, of dpkg 1.21.18 or later",
  });
  await rm(work, { recursive: true });
}

export function controlFile({ version }: Release, bytes: number): string {
  const fields: Readonly<Record<string, string>> = {
    Package: "blazar",
    Version: version,
    Architecture: "amd64",
    Maintainer: "The authors of Blazar <blazar@packages.invalid>",
    "Installed-Size": `${Math.ceil(bytes / KIBIBYTE)}`,
    Depends: "nodejs (>= 20), qemu-system-x86 (>= 1:7.2)",
    Recommends: "containerd (>= 2.1~) | containerd.io (>= 2.1~)",
    Suggests: "containernetworking-plugins",
    Section: "admin",
    Priority: "optional",
    Description: [
      "Kubernetes pods in microVMs, as a remote sandboxer of containerd",
      " Each pod gets a Linux kernel of its own, in a VM of QEMU. One resident",
      " process drives all VMs of a node; there is no shim per pod. VMs are taken",
      " from a warm pool, forked, or cloned from a saved one.",
    ].join("\n"),
  };
  return Object.entries(fields)
    .map(([name, value]) => `${name}: ${value}\n`)
    .join("");
}

async function readTree(directory: string): Promise<{ readonly sums: string; readonly bytes: number }> {
  const found = await readdir(directory, { recursive: true, withFileTypes: true });
  const files = found
    .filter((each) => each.isFile())
    .map((each) => path.relative(directory, path.join(each.parentPath, each.name)))
    .sort();
  let [sums, bytes] = ["", 0];
  for (const file of files) {
    const whole = path.join(directory, file);
    bytes += (await stat(whole)).size;
    if (file !== CONFIG_FILE)
      sums += `${createHash("md5")
        .update(await readFile(whole))
        .digest("hex")}  ${file}\n`;
  }
  return { sums, bytes };
}
