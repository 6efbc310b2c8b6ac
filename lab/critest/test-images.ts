/**
 * The OCI images that critest pulls, made of busybox and two small programs of ours (programs/).
 *
 * They are found by the last part of their repository's name, with or without a tag: critest's own names and tags
 * change with its version. Must not hold anything of the upstream images.
 */
import { chmod, mkdir, readFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { run } from "../../setup/lib/command.ts";
import { repoRoot } from "../../setup/lib/paths.ts";
import { type Busybox, busyboxImage } from "../images/busybox.ts";
import type { ImageProcess, ImageSpec } from "../images/image-builder.ts";
import type { TarFile } from "../images/tar-writer.ts";

/** What an image is but for its name. */
export type UnnamedImage = Omit<ImageSpec, "name">;

/** Images by `repository` or `repository:tag`, of a repository's last part. */
export type ImagesByName = ReadonlyMap<string, UnnamedImage>;

const PROGRAMS = ["server", "nnp"] as const;
type Programs = Readonly<Record<(typeof PROGRAMS)[number], Buffer>>;

/** Where servers write their pids. */
const COMMON: readonly TarFile[] = [{ path: "var/run", type: "directory" }];

/** The user and the group that critest expects in its image test-image-predefined-group. */
const PREDEFINED: readonly TarFile[] = [
  {
    path: "etc/passwd",
    content:
      "root:x:0:0:root:/root:/bin/sh\ndefault-user:x:1000:1000:::/bin/sh\nnobody:x:65534:65534:::/bin/false\n",
  },
  {
    path: "etc/group",
    content: "root:x:0:\ndefault-user:x:1000:\ngroup-defined-in-image:x:50000:default-user\n",
  },
];

/** Users as critest expects them in its images test-image-user-*. */
const USERS: Readonly<Record<string, string>> = {
  uid: "1002",
  username: "www-data",
  "uid-group": "1003:1004",
  "username-group": "www-data:1004",
};
/** critest wants these to be different images. */
const DIFFERENT = [
  ...["test-image-1", "test-image-2", "test-image-3", "test-image-latest", "test-image-digest"],
  ...["test-image-tag:test", "test-image-tag:all", "test-image-tags"],
];

/** Makes all of them. @param busybox one with all applets @param directory where the programs are compiled */
export async function testImages(busybox: Busybox, directory: string): Promise<ImagesByName> {
  const programs = await compile(directory);
  const { layers, process = {} } = await busyboxImage("", busybox);
  // a program of its own: critest masks it, and must not mask busybox with it
  const common = [...COMMON, { path: "bin/ls", content: await readFile(busybox.binary), mode: 0o755 }];
  const image = (files: readonly TarFile[], more: ImageProcess = {}): UnnamedImage => ({
    layers: files.length === 0 ? [...layers, common] : [...layers, common, files],
    process: { ...process, ...more },
  });
  const server: readonly TarFile[] = [
    { path: "usr/sbin", type: "directory" },
    { path: "usr/sbin/nginx", content: programs.server, mode: 0o755 },
  ];
  const serving = (port: number, word: string) =>
    image(server, { Cmd: ["/usr/sbin/nginx", String(port), word] });
  const architecture = goArchitecture();
  return new Map([
    ["busybox", image([])],
    ["nginx", serving(80, "nginx")],
    ["httpd", serving(80, "httpd")],
    [`hostnet-nginx-${architecture}`, serving(12_003, "nginx")],
    ["nonewprivs", image([{ path: "nnp", content: programs.nnp, mode: 0o4755 }], { Cmd: ["/nnp"] })],
    ["pause", image([], { Cmd: ["sleep", "2147483647"] })],
    ["test-image-predefined-group", image(PREDEFINED, { User: "1000" })],
    ...Object.entries(USERS).map(
      ([name, user]) => [`test-image-user-${name}`, image([], { User: user })] as const,
    ),
    ...DIFFERENT.map((name) => [name, image([{ path: name.replace(":", "-"), content: name }])] as const),
  ]);
}

/** As Go calls it. */
function goArchitecture(): string {
  return process.arch === "arm64" ? "arm64" : "amd64";
}

async function compile(directory: string): Promise<Programs> {
  await mkdir(directory, { recursive: true });
  const made = PROGRAMS.map(async (name) => {
    const source = join(repoRoot(), "lab", "critest", "programs", `${name}.c`);
    const program = join(directory, basename(name));
    await run("musl-gcc", ["-static", "-O1", "-s", "-o", program, source]);
    await chmod(program, 0o755);
    return [name, await readFile(program)] as const;
  });
  return Object.fromEntries(await Promise.all(made)) as Programs;
}
