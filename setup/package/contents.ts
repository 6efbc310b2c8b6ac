/**
 * What is in a package of a node, and where: one tree below /, the same for the .deb and the tarball.
 *
 * Everything that the daemon looks for is in usr/lib/blazar/, beside its manifest (src/daemon/parts/manifest.ts).
 */
import { readFile } from "node:fs/promises";
import path from "node:path";
import { gzipSync } from "node:zlib";
import { completionScript } from "../../src/command-line/completion.ts";
import { PACKAGE_MANIFEST } from "../../src/daemon/parts/manifest.ts";
import { repoRoot } from "../lib/paths.ts";
import type { Artifacts } from "../steps/artifacts.ts";
import { copied, type Entry, FILE, PROGRAM, tree, written } from "./entry.ts";
import { exampleConfiguration } from "./example-configuration.ts";
import { commandPage, configurationPage } from "./man-pages.ts";
import { bundledPackages, externalFiles } from "./npm-packages.ts";
import { packedLayer } from "./packed-layer.ts";
import type { Release } from "./release.ts";

const HOME = "usr/lib/blazar";
const DOCUMENTS = "usr/share/doc/blazar";
const UNITS = ["blazar.service", "blazar-keeper.service"];
/** Pages for operators; the others are for those who change Blazar. */
const PAGES = [
  "install",
  "operations",
  "configuration",
  "cli",
  "networking",
  "storage",
  "volumes",
  "sizing",
  "observability",
  "page",
  "oci-spec",
  "glossary",
];

/** @param bundle the directory of the product's bundle */
export async function contents(release: Release, built: Artifacts, bundle: string): Promise<Entry[]> {
  const entries = [
    ...(await tree(`${HOME}/dist`, bundle, undefined, (file) => (file === "blazar.mjs" ? PROGRAM : 0o644))),
    ...(await externalFiles(`${HOME}/node_modules`)),
    ...(await parts(built)),
    { path: "usr/bin/blazar", link: "../lib/blazar/dist/blazar.mjs" },
    copied("usr/bin/containerd-shim-blazar-v1", deploy("containerd-shim-blazar-v1"), PROGRAM),
    ...UNITS.map((unit) => copied(`usr/lib/systemd/system/${unit}`, deploy(unit))),
    written("usr/share/bash-completion/completions/blazar", completionScript("bash")),
    written("usr/share/zsh/vendor-completions/_blazar", completionScript("zsh")),
    written("usr/share/man/man8/blazar.8.gz", compressed(commandPage(release))),
    written("usr/share/man/man5/blazar.toml.5.gz", compressed(configurationPage(release))),
    ...(await documents(release, built)),
  ];
  return entries.sort((a, b) => (a.path < b.path ? -1 : 1));
}

/** The parts, and the manifest by which the daemon finds them. */
async function parts(built: Artifacts): Promise<Entry[]> {
  const { erofsUtils, passt, forkLibrary } = built;
  const layer = await packedLayer(built.emptyExt4);
  const manifest = {
    ...{ keeper: "bin/keeper", fileServer: "bin/fileserver", busybox: { binary: "bin/busybox" } },
    forkLibrary: forkLibrary && "lib/vmm-fork.so",
    ...{ vmlinux: "guest/vmlinux", initramfs: "guest/initramfs.cpio" },
    emptyExt4: { image: "layer/empty.ext4.packed", extents: "layer/extents.json" },
    passt: passt && "passt",
    erofsUtils: erofsUtils && {
      directory: "erofs-utils",
      mkfs: erofsUtils.mkfs.map((word) =>
        word.startsWith("-") ? word : path.join("erofs-utils", path.relative(erofsUtils.directory, word)),
      ),
    },
  };
  return [
    written(`${HOME}/${PACKAGE_MANIFEST}`, `${JSON.stringify(manifest, null, 2)}\n`),
    copied(`${HOME}/${manifest.keeper}`, built.keeper, PROGRAM),
    copied(`${HOME}/${manifest.fileServer}`, built.fileServer, PROGRAM),
    copied(`${HOME}/${manifest.busybox.binary}`, built.busybox.binary, PROGRAM),
    copied(`${HOME}/${manifest.vmlinux}`, built.vmlinux),
    copied(`${HOME}/${manifest.initramfs}`, built.initramfs),
    written(`${HOME}/${manifest.emptyExt4.image}`, layer.image),
    written(`${HOME}/${manifest.emptyExt4.extents}`, layer.extents),
    ...(forkLibrary === null ? [] : [copied(`${HOME}/lib/vmm-fork.so`, forkLibrary)]),
    ...(passt === null ? [] : await tree(`${HOME}/passt`, passt, undefined, programMode)),
    ...(erofsUtils === null
      ? []
      : await tree(
          `${HOME}/erofs-utils`,
          erofsUtils.directory,
          (file) => !file.startsWith("bin/"),
          programMode,
        )),
  ];
}

/** Of programs that come with their libraries: the loader among these is a program, too. */
function programMode(file: string): number {
  return /\.so(\.\d+)*$/.test(file) && !file.includes("/ld-linux") ? FILE : PROGRAM;
}

async function documents(release: Release, built: Artifacts): Promise<Entry[]> {
  const root = repoRoot();
  const kernel = (await readFile(path.join(built.vmlinux, "..", "release"), "utf8")).trim();
  const versions = [`blazar ${release.version}`, `linux ${kernel} (of the guest)`]
    .map((line) => `${line}\n`)
    .join("");
  const examples = path.join(root, "packaging", "examples");
  return [
    copied(`${DOCUMENTS}/copyright`, path.join(root, "packaging", "copyright")),
    written(`${DOCUMENTS}/changelog.gz`, compressed(await readFile(path.join(root, "CHANGELOG.md")))),
    written(`${DOCUMENTS}/npm-packages.gz`, compressed(await bundledPackages())),
    written(`${DOCUMENTS}/versions`, versions),
    ...PAGES.map((page) => copied(`${DOCUMENTS}/${page}.md`, path.join(root, "docs", `${page}.md`))),
    written(`${DOCUMENTS}/examples/blazar.toml`, exampleConfiguration()),
    copied(`${DOCUMENTS}/examples/containerd.toml`, deploy("containerd.toml")),
    ...(await tree(`${DOCUMENTS}/examples`, examples)),
    ...(await tree(`${DOCUMENTS}/examples/kubernetes`, deploy("kubernetes"))),
  ];
}

function deploy(name: string): string {
  return path.join(repoRoot(), "deploy", name);
}

/** The same bytes each time: Node writes no time and no name. */
function compressed(content: string | Buffer): Buffer {
  return gzipSync(content, { level: 9 });
}
